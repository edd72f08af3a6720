package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Keystone validates tokens with OpenStack's identity service, API v3, and remembers the answers for a while. Its
// methods are safe for concurrent use.
type Keystone struct {
	// URL is keystone's, up to but without /v3.
	URL string
	// Username, Password, Project and Domain are the service user's, who may validate tokens. Domain is used for
	// user and project; empty: Default.
	Username, Password, Project, Domain string
	// Client makes the requests; nil: one with a timeout of 10 seconds.
	Client *http.Client
	// CacheFor is how long a validated token is believed without asking again (default 1 minute).
	CacheFor time.Duration
	// Clock gives the time; nil: time.Now.
	Clock func() time.Time

	mu     sync.Mutex
	own    string // our own token
	ownTil time.Time
	cache  map[[32]byte]cachedToken
}

type cachedToken struct {
	id  *Identity // nil: not a valid token
	til time.Time
}

// maxTokens bounds the cache: when it is full, what has expired goes, and if nothing has, all.
const maxTokens = 10000

// ErrIdentity says that keystone could not be asked; requests are answered with 503 then.
var ErrIdentity = errors.New("identity service")

// Authenticate implements Authenticator: the token is in X-Auth-Token.
func (k *Keystone) Authenticate(ctx context.Context, r *http.Request) (*Identity, error) {
	token := r.Header.Get("X-Auth-Token")
	if token == "" || len(token) > 8192 {
		return nil, nil
	}
	key := sha256.Sum256([]byte(token)) // the tokens themselves are not kept
	now := k.now()
	k.mu.Lock()
	c, ok := k.cache[key]
	k.mu.Unlock()
	if ok && now.Before(c.til) {
		return c.id, nil
	}
	id, expires, err := k.validate(ctx, token)
	if err != nil {
		return nil, fail(http.StatusServiceUnavailable, "HTTPServiceUnavailable", "The identity service at %s does not answer: %v", k.URL, err)
	}
	til := now.Add(k.cacheFor())
	switch {
	case id == nil:
	case !now.Before(expires): // keystone's clock is behind ours, or its grace for services' old tokens is meant
		id = nil
	case expires.Before(til):
		til = expires
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.cache == nil || len(k.cache) >= maxTokens {
		kept := map[[32]byte]cachedToken{}
		for t, c := range k.cache {
			if now.Before(c.til) {
				kept[t] = c
			}
		}
		if len(kept) >= maxTokens {
			clear(kept)
		}
		k.cache = kept
	}
	k.cache[key] = cachedToken{id, til}
	return id, nil
}

func (k *Keystone) now() time.Time {
	if k.Clock == nil {
		return time.Now()
	}
	return k.Clock()
}

func (k *Keystone) cacheFor() time.Duration {
	if k.CacheFor == 0 {
		return time.Minute
	}
	return k.CacheFor
}

// token is what keystone says of a token.
type token struct {
	Token struct {
		ExpiresAt time.Time `json:"expires_at"`
		User      struct {
			ID string `json:"id"`
		} `json:"user"`
		Project struct {
			ID string `json:"id"`
		} `json:"project"`
		Roles []struct {
			Name string `json:"name"`
		} `json:"roles"`
	} `json:"token"`
}

func (k *Keystone) validate(ctx context.Context, subject string) (*Identity, time.Time, error) {
	for attempt := 0; ; attempt++ {
		own, err := k.ownToken(ctx, attempt > 0)
		if err != nil {
			return nil, time.Time{}, err
		}
		var t token
		status, _, err := k.do(ctx, http.MethodGet, "/v3/auth/tokens?nocatalog", nil, map[string]string{"X-Auth-Token": own, "X-Subject-Token": subject}, &t)
		switch {
		case err != nil:
			return nil, time.Time{}, err
		case status == http.StatusNotFound:
			return nil, time.Time{}, nil
		case status == http.StatusUnauthorized && attempt == 0:
			continue // our own token has gone: get another
		case status != http.StatusOK:
			return nil, time.Time{}, fmt.Errorf("%w: validating a token: status %d", ErrIdentity, status)
		}
		id := &Identity{UserID: t.Token.User.ID, ProjectID: t.Token.Project.ID}
		for _, r := range t.Token.Roles {
			id.Roles = append(id.Roles, strings.ToLower(r.Name))
		}
		return id, t.Token.ExpiresAt, nil
	}
}

// ownToken gives the service user's token, a new one if the last has expired or was refused.
func (k *Keystone) ownToken(ctx context.Context, refused bool) (string, error) {
	k.mu.Lock()
	own, til := k.own, k.ownTil
	k.mu.Unlock()
	if !refused && own != "" && k.now().Before(til) {
		return own, nil
	}
	domain := k.Domain
	if domain == "" {
		domain = "Default"
	}
	dom := map[string]any{"name": domain}
	body, err := json.Marshal(map[string]any{"auth": map[string]any{
		"identity": map[string]any{"methods": []string{"password"}, "password": map[string]any{
			"user": map[string]any{"name": k.Username, "domain": dom, "password": k.Password}}},
		"scope": map[string]any{"project": map[string]any{"name": k.Project, "domain": dom}}}})
	if err != nil {
		return "", err
	}
	var t token
	status, h, err := k.do(ctx, http.MethodPost, "/v3/auth/tokens", body, nil, &t)
	if err != nil {
		return "", err
	}
	if status != http.StatusCreated || h.Get("X-Subject-Token") == "" {
		return "", fmt.Errorf("%w: the service user %q was refused with status %d: check its name, password and project", ErrIdentity, k.Username, status)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.own, k.ownTil = h.Get("X-Subject-Token"), t.Token.ExpiresAt.Add(-time.Minute)
	return k.own, nil
}

func (k *Keystone) do(ctx context.Context, method, path string, body []byte, header map[string]string, out any) (int, http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(k.URL, "/")+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, fmt.Errorf("%w: %w", ErrIdentity, err)
	}
	req.Header.Set("Content-Type", "application/json")
	for name, v := range header {
		req.Header.Set(name, v)
	}
	client := k.Client
	if client == nil {
		client = &http.Client{Timeout: 10 * time.Second}
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, fmt.Errorf("%w: %w", ErrIdentity, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return 0, nil, fmt.Errorf("%w: %w", ErrIdentity, err)
	}
	if resp.StatusCode < 300 {
		if err := json.Unmarshal(b, out); err != nil {
			return 0, nil, fmt.Errorf("%w: %w", ErrIdentity, err)
		}
	}
	return resp.StatusCode, resp.Header, nil
}
