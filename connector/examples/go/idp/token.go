package idp

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// ServeHTTP answers `POST /token` with the grant client_credentials (RFC 6749 sections 4.4 and 5), so that whoever has
// a client can see whether its secret works.
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	refuse := func(status int, code string) {
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]string{"error": code})
	}
	if r.URL.Path != "/token" || r.Method != http.MethodPost {
		refuse(http.StatusNotFound, "not_found")
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	if err := r.ParseForm(); err != nil {
		refuse(http.StatusBadRequest, "invalid_request")
		return
	}
	id, secret, basic := r.BasicAuth()
	if basic {
		// RFC 6749 section 2.3.1: both are form-encoded before they are joined.
		var errID, errSecret error
		id, errID = url.QueryUnescape(id)
		secret, errSecret = url.QueryUnescape(secret)
		basic = errID == nil && errSecret == nil
	} else {
		id, secret = r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	}
	client, known := p.authenticate(id, secret)
	scopes := strings.Fields(r.PostForm.Get("scope"))
	unknown := func(scope string) bool { return !slices.Contains(client.Scopes, scope) }
	switch {
	case !known:
		if basic {
			w.Header().Set("WWW-Authenticate", `Basic realm="small-idp"`)
		}
		refuse(http.StatusUnauthorized, "invalid_client")
	case r.PostForm.Get("grant_type") != "client_credentials":
		refuse(http.StatusBadRequest, "unsupported_grant_type")
	case !slices.Contains(client.GrantTypes, "client_credentials"):
		refuse(http.StatusBadRequest, "unauthorized_client")
	case slices.ContainsFunc(scopes, unknown):
		refuse(http.StatusBadRequest, "invalid_scope")
	default:
		_ = json.NewEncoder(w).Encode(map[string]any{
			"access_token": rand.Text(),
			"token_type":   "Bearer",
			"expires_in":   300,
		})
	}
}
