package main

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"

	pb "dcr-connector-go/gen/dcr/connector/v1"
)

// What the identity provider offers; the contract has more.
var grantTypes = []string{"client_credentials", "authorization_code", "refresh_token"}

var (
	label       = regexp.MustCompile(`^[a-z0-9-]{1,64}$`)
	uuidV7      = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	pathSegment = regexp.MustCompile(`^[A-Za-z0-9\-._~!$&'()*+,;=:@]{1,255}$`)
	scopeToken  = regexp.MustCompile(`^[\x21\x23-\x5b\x5d-\x7e]{1,128}$`)
)

// mostViolations is how many a failure may tell.
const mostViolations = 20

// violations gathers everything that is wrong with a request, so that all of it is told at once.
type violations []*errdetails.BadRequest_FieldViolation

// must notes the rule unless it is kept. A list's element is named as `scopes[2]`.
func (v *violations) must(kept bool, field, rule string) {
	if !kept {
		*v = append(*v, &errdetails.BadRequest_FieldViolation{Field: field, Description: "must " + rule})
	}
}

func (v violations) err() error {
	if len(v) == 0 {
		return nil
	}
	f := refused(codes.InvalidArgument, pb.Reason_REASON_INVALID_REQUEST, "the request breaks the contract")
	f.violations = v[:min(len(v), mostViolations)]
	for _, violation := range f.violations {
		f.message += fmt.Sprintf("; %s %s", violation.Field, violation.Description)
	}
	return f
}

func (v *violations) caller(c *pb.Caller) {
	isLabel := label.MatchString(c.GetInstallation()) && label.MatchString(c.GetProviderId())
	v.must(isLabel, "caller", "name installation and provider, each 1 to 64 of a-z, 0-9 and -")
}

func (v *violations) operationID(field, id string) {
	v.must(uuidV7.MatchString(id), field, "be a UUIDv7 in its canonical text form")
}

func (v *violations) clientID(id string) {
	legal := pathSegment.MatchString(id) && id != "." && id != ".."
	v.must(legal, "client_id", "have 1 to 255 characters that may stand in a path segment as they are")
}

// subject is what every mutation of a client names.
func (v *violations) subject(caller *pb.Caller, operation *pb.Operation, clientID string) {
	v.caller(caller)
	v.operationID("operation", operation.GetOperationId())
	v.clientID(clientID)
}

func (v *violations) name(name string) {
	v.must(strings.TrimSpace(name) != "" && utf8.RuneCountInString(name) <= 255, "name",
		"have 1 to 255 characters, not all of them blank")
	v.must(!strings.ContainsFunc(name, unicode.IsControl), "name", "hold no control characters")
}

func (v *violations) description(text string) {
	forbidden := func(c rune) bool { return unicode.IsControl(c) && !strings.ContainsRune("\r\n\t", c) }
	v.must(utf8.RuneCountInString(text) <= 255, "description", "have at most 255 characters")
	v.must(!strings.ContainsFunc(text, forbidden), "description",
		"hold no control characters but line breaks and tabs")
}

func (v *violations) redirectURIs(uris []string) {
	v.must(len(uris) <= 20, "redirect_uris", "have at most 20 elements")
	for i, uri := range uris {
		v.must(isRedirectURI(uri), fmt.Sprintf("redirect_uris[%d]", i),
			"be an absolute URI with https, http to loopback, or a private-use scheme with a dot")
	}
}

func (v *violations) create(r *pb.CreateClientRequest) {
	v.caller(r.GetCaller())
	v.operationID("operation", r.GetOperation().GetOperationId())
	v.name(r.GetName())
	v.description(r.GetDescription())
	v.redirectURIs(r.GetRedirectUris())
	v.must(len(r.GetGrantTypes()) > 0, "grant_types", "not be empty")
	for i, grant := range r.GetGrantTypes() {
		v.must(slices.Contains(grantTypes, grant), fmt.Sprintf("grant_types[%d]", i),
			"be one of "+strings.Join(grantTypes, ", "))
	}
	v.must(len(r.GetScopes()) <= 50, "scopes", "have at most 50 elements")
	for i, scope := range r.GetScopes() {
		v.must(scopeToken.MatchString(scope), fmt.Sprintf("scopes[%d]", i),
			"have 1 to 128 characters of RFC 6749 section 3.3")
	}
}

func isRedirectURI(text string) bool {
	uri, err := url.Parse(text)
	if err != nil || len(text) > 2048 || uri.User != nil || strings.ContainsAny(text, "#*\\") {
		return false
	}
	switch uri.Scheme {
	case "https":
		return uri.Hostname() != ""
	case "http":
		ip := net.ParseIP(uri.Hostname())
		return uri.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	default:
		return strings.Contains(uri.Scheme, ".")
	}
}

// age tells how long ago an operation was named: a UUIDv7 begins with the milliseconds since 1970.
func age(operationID string) time.Duration {
	var ms int64
	_, _ = fmt.Sscanf(strings.ReplaceAll(operationID, "-", "")[:12], "%x", &ms)
	return time.Since(time.UnixMilli(ms))
}

func (v *violations) entity(entity *pb.Entity, audience string) {
	length := utf8.RuneCountInString(entity.GetId())
	v.must(length >= 1 && length <= 128, "entity", "have an id of 1 to 128 characters")
	_, known := pb.EntityKind_name[int32(entity.GetKind())]
	v.must(known && entity.GetKind() != pb.EntityKind_ENTITY_KIND_UNSPECIFIED, "entity", "have a kind of the contract")
	v.must(utf8.RuneCountInString(audience) <= 255, "audience", "have at most 255 characters")
	v.must(!strings.ContainsFunc(audience, unicode.IsControl), "audience", "hold no control characters")
}
