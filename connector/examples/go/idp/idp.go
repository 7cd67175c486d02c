// Package idp is a small identity provider in memory: a table of OAuth clients with an admin API, and a token endpoint.
// It stands for whatever a connector speaks to, so it knows nothing of the contract.
package idp

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// MaxName is the most characters of a name or description.
const MaxName = 100

// MaxClients is the most clients that there may be.
const MaxClients = 10_000

// What the admin API refuses.
var (
	ErrNoClient = errors.New("there is no such client")
	ErrExists   = errors.New("this client id is taken")
	ErrFull     = errors.New("no more clients are allowed")
	// ErrDown leaves open whether a change was made.
	ErrDown = errors.New("the identity provider is down")
)

// Client is an OAuth client as an administrator sees it.
type Client struct {
	ID, Name, Description string
	RedirectURIs          []string
	GrantTypes, Scopes    []string
	// Attributes are free text of the administrator's.
	Attributes map[string]string
	CreatedAt  time.Time
	// SecretCreatedAt tells the age of its one secret.
	SecretCreatedAt time.Time
	// Birth is its place in lists, which no change moves.
	Birth int

	hash [sha256.Size]byte
}

// Provider is the identity provider. Its zero value has no clients.
type Provider struct {
	// Latency passes before a change is made, and once more before it is answered: as with any server, a caller that
	// goes away in between has made the change and does not know it.
	Latency time.Duration
	// Down makes every answer of the admin API ErrDown.
	Down atomic.Bool

	mutex   sync.Mutex
	clients map[string]Client
	born    int
}

// Create adds a client and returns it with its secret: the only copy.
func (p *Provider) Create(ctx context.Context, c Client) (made Client, secret string, err error) {
	err = p.change(ctx, func() error {
		if _, taken := p.clients[c.ID]; taken {
			return ErrExists
		}
		if len(p.clients) >= MaxClients {
			return ErrFull
		}
		if p.clients == nil {
			p.clients = make(map[string]Client)
		}
		p.born++
		c.Birth, c.CreatedAt = p.born, time.Now()
		secret = c.renewSecret()
		p.clients[c.ID] = c
		made = c
		return nil
	})
	return made, secret, err
}

// Get reads a client.
func (p *Provider) Get(ctx context.Context, id string) (Client, error) {
	if err := p.wait(ctx); err != nil {
		return Client{}, err
	}
	p.mutex.Lock()
	defer p.mutex.Unlock()
	c, found := p.clients[id]
	if !found {
		return Client{}, ErrNoClient
	}
	return c, nil
}

// List returns at most limit clients that were born after a place and are wanted, oldest first.
func (p *Provider) List(ctx context.Context, after, limit int, wanted func(Client) bool) ([]Client, error) {
	if err := p.wait(ctx); err != nil {
		return nil, err
	}
	p.mutex.Lock()
	defer p.mutex.Unlock()
	var list []Client
	for _, c := range p.clients {
		if c.Birth > after && wanted(c) {
			list = append(list, c)
		}
	}
	slices.SortFunc(list, func(a, b Client) int { return a.Birth - b.Birth })
	return list[:min(limit, len(list))], nil
}

// Update changes a client; its secret stays.
func (p *Provider) Update(ctx context.Context, id string, edit func(*Client)) error {
	return p.changeClient(ctx, id, edit)
}

// Rotate puts a new secret in the place of the old one.
func (p *Provider) Rotate(ctx context.Context, id string) (secret string, err error) {
	err = p.changeClient(ctx, id, func(c *Client) { secret = c.renewSecret() })
	return secret, err
}

// Delete removes a client.
func (p *Provider) Delete(ctx context.Context, id string) error {
	return p.change(ctx, func() error {
		if _, found := p.clients[id]; !found {
			return ErrNoClient
		}
		delete(p.clients, id)
		return nil
	})
}

// authenticate returns the client of this id if the secret is its secret now.
func (p *Provider) authenticate(id, secret string) (Client, bool) {
	hash := sha256.Sum256([]byte(secret))
	p.mutex.Lock()
	defer p.mutex.Unlock()
	c, found := p.clients[id]
	return c, found && subtle.ConstantTimeCompare(c.hash[:], hash[:]) == 1
}

func (p *Provider) changeClient(ctx context.Context, id string, edit func(*Client)) error {
	return p.change(ctx, func() error {
		c, found := p.clients[id]
		if !found {
			return ErrNoClient
		}
		edit(&c)
		p.clients[id] = c
		return nil
	})
}

func (p *Provider) change(ctx context.Context, act func() error) error {
	if err := p.wait(ctx); err != nil {
		return err
	}
	p.mutex.Lock()
	err := act()
	p.mutex.Unlock()
	if err != nil {
		return err
	}
	return p.wait(ctx)
}

func (p *Provider) wait(ctx context.Context) error {
	if p.Down.Load() {
		return ErrDown
	}
	if p.Latency == 0 {
		return ctx.Err()
	}
	select {
	case <-time.After(p.Latency):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *Client) renewSecret() string {
	secret := rand.Text() + rand.Text()
	c.hash, c.SecretCreatedAt = sha256.Sum256([]byte(secret)), time.Now()
	return secret
}
