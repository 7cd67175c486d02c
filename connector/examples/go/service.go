package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "dcr-connector-go/gen/dcr/connector/v1"
	"dcr-connector-go/idp"
)

const (
	// The identity provider keeps one secret per client, which therefore needs no id of its own.
	secretID  = "secret"
	oneSecret = "This identity provider keeps one secret per client. Use \"refresh secret\" instead."
)

// service is the contract, in the order of connector.proto.
type service struct {
	pb.UnimplementedConnectorServiceServer
	idp *idp.Provider
	// ownClient is the client that is the connector's own credential.
	ownClient  string
	operations *operations
	tasks      tasks
	// pending has an entry for each operation that is still to be undone.
	pending chan struct{}
	// settleAfter is how long after an abort a late commit may still show itself.
	settleAfter time.Duration
}

func newService(provider *idp.Provider, ownClient string, settleAfter time.Duration) *service {
	return &service{
		idp:         provider,
		ownClient:   ownClient,
		operations:  newOperations(),
		pending:     make(chan struct{}, mostPending),
		settleAfter: settleAfter,
	}
}

func (s *service) DescribeConnector(
	context.Context, *pb.DescribeConnectorRequest,
) (*pb.DescribeConnectorResponse, error) {
	return &pb.DescribeConnectorResponse{
		Name:    "go-example",
		Version: "0.1.0",
		Capabilities: []pb.Capability{
			pb.Capability_CAPABILITY_ROTATE_SECRET,
			pb.Capability_CAPABILITY_UPDATE,
			pb.Capability_CAPABILITY_LIST_MANAGED,
			pb.Capability_CAPABILITY_ABORT_CREATE,
		},
		MaxSecrets:  new(uint32(1)),
		SettleAfter: durationpb.New(s.settleAfter),
	}, nil
}

func (s *service) CheckIdentityProvider(
	ctx context.Context, _ *pb.CheckIdentityProviderRequest,
) (*pb.CheckIdentityProviderResponse, error) {
	finding := &pb.Finding{
		Severity: pb.Severity_SEVERITY_OK,
		Code:     "ADMIN_API",
		Sentence: "The identity provider answers and accepts the connector's credential.",
	}
	if _, err := s.idp.Get(ctx, s.ownClient); err != nil {
		finding.Severity = pb.Severity_SEVERITY_ERROR
		finding.Sentence = fmt.Sprintf("The connector's own client cannot be read: %v. Start it again.", err)
	}
	return &pb.CheckIdentityProviderResponse{Findings: []*pb.Finding{finding}}, nil
}

func (s *service) CreateClient(ctx context.Context, r *pb.CreateClientRequest) (*pb.CreateClientResponse, error) {
	var v violations
	v.create(r)
	if err := v.err(); err != nil {
		return nil, err
	}
	op := operationOf(r.GetCaller(), r.GetOperation().GetOperationId())
	if err := s.operations.begin(op); err != nil {
		return nil, err
	}
	if r.GetProbe() {
		s.tasks.Go(func() { s.removeOldProbes(op.installation) })
	}
	name, adjustments := shortened(nil, "name", r.GetName())
	description, adjustments := shortened(adjustments, "description", r.GetDescription())
	create := func(ctx context.Context) (*pb.CreateClientResponse, error) {
		made, secret, err := s.idp.Create(ctx, idp.Client{
			ID:           clientID(op),
			Name:         name,
			Description:  description,
			RedirectURIs: r.GetRedirectUris(),
			GrantTypes:   r.GetGrantTypes(),
			Scopes:       r.GetScopes(),
			Attributes:   marked(op, r.GetProbe()),
		})
		if s.operations.end(op) {
			s.undoSoon(op)
			f := refused(codes.AlreadyExists, pb.Reason_REASON_OPERATION_ABORTED, "the operation was aborted while it ran")
			f.outcome = pb.Outcome_OUTCOME_UNKNOWN
			return nil, f
		}
		if err != nil {
			return nil, ofIDP(err)
		}
		return &pb.CreateClientResponse{
			ClientId:    made.ID,
			Secret:      &pb.Secret{Value: secret},
			SecretId:    secretID,
			IssuedAt:    timestamppb.New(made.CreatedAt),
			Adjustments: adjustments,
		}, nil
	}
	return detached(ctx, &s.tasks, create, func() { s.undoSoon(op) })
}

func (s *service) DeleteClient(ctx context.Context, r *pb.DeleteClientRequest) (*pb.DeleteClientResponse, error) {
	var v violations
	v.subject(r.GetCaller(), r.GetOperation(), r.GetClientId())
	if err := v.err(); err != nil {
		return nil, err
	}
	remove := func(ctx context.Context) (pb.Deletion, error) {
		_, whose, err := s.find(ctx, r.GetCaller(), r.GetClientId())
		switch {
		case err != nil:
			return 0, err
		case whose == absent:
			return pb.Deletion_DELETION_ABSENT, nil
		case whose == unmarked:
			return pb.Deletion_DELETION_LEFT_IN_PLACE, nil
		case whose == foreign:
			return 0, noSuchClient()
		}
		err = s.idp.Delete(ctx, r.GetClientId())
		if errors.Is(err, idp.ErrNoClient) {
			return pb.Deletion_DELETION_ABSENT, nil
		}
		return pb.Deletion_DELETION_DELETED, ofIDP(err)
	}
	deletion, err := detached(ctx, &s.tasks, remove, nil)
	if err != nil {
		return nil, err
	}
	return &pb.DeleteClientResponse{Deletion: deletion}, nil
}

func (s *service) RotateClientSecret(
	ctx context.Context, r *pb.RotateClientSecretRequest,
) (*pb.RotateClientSecretResponse, error) {
	var v violations
	v.subject(r.GetCaller(), r.GetOperation(), r.GetClientId())
	if err := v.err(); err != nil {
		return nil, err
	}
	op := operationOf(r.GetCaller(), r.GetOperation().GetOperationId())
	if err := s.operations.begin(op); err != nil {
		return nil, err
	}
	// Nobody aborts a rotation: another one heals it.
	rotate := func(ctx context.Context) (string, error) {
		if _, err := s.own(ctx, r.GetCaller(), r.GetClientId()); err != nil {
			return "", err
		}
		secret, err := s.idp.Rotate(ctx, r.GetClientId())
		return secret, ofIDP(err)
	}
	secret, err := detached(ctx, &s.tasks, rotate, nil)
	if err != nil {
		return nil, err
	}
	return &pb.RotateClientSecretResponse{Secret: &pb.Secret{Value: secret}, SecretId: secretID}, nil
}

func (s *service) ListClientSecrets(
	ctx context.Context, r *pb.ListClientSecretsRequest,
) (*pb.ListClientSecretsResponse, error) {
	var v violations
	v.caller(r.GetCaller())
	v.clientID(r.GetClientId())
	if err := v.err(); err != nil {
		return nil, err
	}
	client, err := s.own(ctx, r.GetCaller(), r.GetClientId())
	if err != nil {
		return nil, err
	}
	return &pb.ListClientSecretsResponse{Secrets: []*pb.ClientSecret{{
		SecretId:  secretID,
		Status:    pb.SecretStatus_SECRET_STATUS_ACTIVE,
		CreatedAt: timestamppb.New(client.SecretCreatedAt),
	}}}, nil
}

func (s *service) AddClientSecret(
	ctx context.Context, r *pb.AddClientSecretRequest,
) (*pb.AddClientSecretResponse, error) {
	var v violations
	v.subject(r.GetCaller(), r.GetOperation(), r.GetClientId())
	return nil, s.unsupported(ctx, v, r.GetCaller(), r.GetClientId())
}

func (s *service) RemoveClientSecret(
	ctx context.Context, r *pb.RemoveClientSecretRequest,
) (*pb.RemoveClientSecretResponse, error) {
	var v violations
	v.subject(r.GetCaller(), r.GetOperation(), r.GetClientId())
	v.must(pathSegment.MatchString(r.GetSecretId()), "secret_id", "be the id of a secret")
	return nil, s.unsupported(ctx, v, r.GetCaller(), r.GetClientId())
}

func (s *service) UpdateClient(ctx context.Context, r *pb.UpdateClientRequest) (*pb.UpdateClientResponse, error) {
	var v violations
	v.subject(r.GetCaller(), r.GetOperation(), r.GetClientId())
	if r.Name != nil {
		v.name(r.GetName())
	}
	v.description(r.GetDescription())
	v.redirectURIs(r.GetRedirectUris().GetUris())
	if err := v.err(); err != nil {
		return nil, err
	}
	name, adjustments := shortened(nil, "name", r.GetName())
	description, adjustments := shortened(adjustments, "description", r.GetDescription())
	update := func(ctx context.Context) (*pb.UpdateClientResponse, error) {
		if _, err := s.own(ctx, r.GetCaller(), r.GetClientId()); err != nil {
			return nil, err
		}
		err := s.idp.Update(ctx, r.GetClientId(), func(c *idp.Client) {
			if r.Name != nil {
				c.Name = name
			}
			if r.Description != nil {
				c.Description = description
			}
			if r.RedirectUris != nil {
				c.RedirectURIs = r.GetRedirectUris().GetUris()
			}
		})
		return &pb.UpdateClientResponse{Adjustments: adjustments}, ofIDP(err)
	}
	return detached(ctx, &s.tasks, update, nil)
}

// AddRegistration has nothing to grant: this connector's configuration maps no entity.
func (s *service) AddRegistration(
	ctx context.Context, r *pb.AddRegistrationRequest,
) (*pb.AddRegistrationResponse, error) {
	err := s.notMapped(ctx, r.GetCaller(), r.GetOperation(), r.GetClientId(), r.GetEntity(), r.GetAudience())
	if err != nil {
		return nil, err
	}
	return &pb.AddRegistrationResponse{Change: pb.RegistrationChange_REGISTRATION_CHANGE_NOT_MAPPED}, nil
}

func (s *service) RemoveRegistration(
	ctx context.Context, r *pb.RemoveRegistrationRequest,
) (*pb.RemoveRegistrationResponse, error) {
	err := s.notMapped(ctx, r.GetCaller(), r.GetOperation(), r.GetClientId(), r.GetEntity(), r.GetAudience())
	if err != nil {
		return nil, err
	}
	return &pb.RemoveRegistrationResponse{Change: pb.RegistrationChange_REGISTRATION_CHANGE_NOT_MAPPED}, nil
}

func (s *service) ListManagedClients(
	ctx context.Context, r *pb.ListManagedClientsRequest,
) (*pb.ListManagedClientsResponse, error) {
	var v violations
	v.caller(r.GetCaller())
	v.must(r.GetPageSize() >= 0 && r.GetPageSize() <= 500, "page_size", "be 1 to 500, or 0 for 100")
	installation := r.GetCaller().GetInstallation()
	after, err := placeOf(r.GetPageToken(), installation)
	v.must(err == nil, "page_token", "be a token of this list")
	if err := v.err(); err != nil {
		return nil, err
	}
	size := int(r.GetPageSize())
	if size == 0 {
		size = 100
	}
	// One more than wanted tells whether there is another page.
	clients, err := s.idp.List(ctx, after, size+1, func(c idp.Client) bool {
		return madeBy(c).installation == installation
	})
	if err != nil {
		return nil, ofIDP(err)
	}
	answer := &pb.ListManagedClientsResponse{Complete: len(clients) <= size}
	if !answer.Complete {
		clients = clients[:size]
		answer.NextPageToken = tokenOf(clients[size-1].Birth, installation)
	}
	for _, c := range clients {
		made := madeBy(c)
		answer.Clients = append(answer.Clients, &pb.ManagedClient{
			ClientId:    c.ID,
			ProviderId:  made.provider,
			OperationId: made.id,
			CreatedAt:   timestamppb.New(c.CreatedAt),
			Probe:       c.Attributes[probeKey] != "",
		})
	}
	return answer, nil
}

// find reads a client and tells whose it is. One that its caller names has been delivered to it: it is never undone.
func (s *service) find(ctx context.Context, caller *pb.Caller, id string) (idp.Client, standing, error) {
	client, err := s.idp.Get(ctx, id)
	if errors.Is(err, idp.ErrNoClient) {
		return idp.Client{}, absent, nil
	}
	if err != nil {
		return idp.Client{}, absent, ofIDP(err)
	}
	whose := s.standing(caller, client)
	if whose == ours && s.operations.set(madeBy(client), delivered, undone) == undone {
		return idp.Client{}, absent, nil
	}
	return client, whose, nil
}

// own reads a client that the caller may use.
func (s *service) own(ctx context.Context, caller *pb.Caller, id string) (idp.Client, error) {
	client, whose, err := s.find(ctx, caller, id)
	switch {
	case err != nil:
		return idp.Client{}, err
	case whose == ours:
		return client, nil
	case whose == unmarked:
		f := refused(codes.NotFound, pb.Reason_REASON_CLIENT_NOT_ADMITTED, "the client bears no mark")
		f.sentence = "This client was not made by the bridge, and this connector admits no others."
		return idp.Client{}, f
	default:
		return idp.Client{}, noSuchClient()
	}
}

// unsupported refuses what an identity provider with one secret cannot do, unless more is wrong with the call.
func (s *service) unsupported(ctx context.Context, v violations, caller *pb.Caller, clientID string) error {
	if err := v.err(); err != nil {
		return err
	}
	if _, err := s.own(ctx, caller, clientID); err != nil {
		return err
	}
	f := refused(codes.Unimplemented, pb.Reason_REASON_NOT_SUPPORTED, "the identity provider keeps one secret")
	f.sentence = oneSecret
	return f
}

func (s *service) notMapped(
	ctx context.Context, caller *pb.Caller, op *pb.Operation, clientID string, entity *pb.Entity, audience string,
) error {
	var v violations
	v.subject(caller, op, clientID)
	v.entity(entity, audience)
	if err := v.err(); err != nil {
		return err
	}
	_, err := s.own(ctx, caller, clientID)
	return err
}

// shortened cuts a text after the most characters that the identity provider takes, and tells so.
func shortened(adjustments []*pb.Adjustment, field, text string) (string, []*pb.Adjustment) {
	characters := []rune(text)
	if len(characters) <= idp.MaxName {
		return text, adjustments
	}
	return string(characters[:idp.MaxName]), append(adjustments, &pb.Adjustment{
		Field:    field,
		Sentence: fmt.Sprintf("Cut after %d characters, the most that the identity provider keeps.", idp.MaxName),
	})
}

// tokenOf names a place in the list of an installation.
func tokenOf(birth int, installation string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(installation + ":" + strconv.Itoa(birth)))
}

func placeOf(token, installation string) (int, error) {
	if token == "" {
		return 0, nil
	}
	text, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return 0, err
	}
	of, place, _ := strings.Cut(string(text), ":")
	if of != installation {
		return 0, errors.New("the token of another installation")
	}
	return strconv.Atoi(place)
}
