package api

import (
	"context"
	"net/http"
	"slices"
	"strings"
)

// Identity is who makes a request.
type Identity struct {
	UserID    string
	ProjectID string
	Roles     []string
}

// Admin reports whether the caller has the role admin.
func (i *Identity) Admin() bool { return i.has("admin") }

// advsvc is the role of services that work on any project's networks, such as Octavia's.
func (i *Identity) advsvc() bool { return i.has("advsvc") }

func (i *Identity) has(role string) bool { return slices.Contains(i.Roles, role) }

// Authenticator finds out who makes a request. A nil Identity without an error means: not authenticated, which is
// answered with 401.
type Authenticator interface {
	Authenticate(ctx context.Context, r *http.Request) (*Identity, error)
}

// NoAuth is the mode for loopback: every request is an admin's of one project.
type NoAuth struct{ ProjectID string }

// Authenticate implements Authenticator.
func (n NoAuth) Authenticate(context.Context, *http.Request) (*Identity, error) {
	return &Identity{UserID: "admin", ProjectID: n.ProjectID, Roles: []string{"admin", "member", "reader"}}, nil
}

// TrustedHeaders believes what a front put in X-User-Id, X-Project-Id and X-Roles. Front says which requests come
// from that front; nil trusts all, which is for a listener that only the front can reach.
type TrustedHeaders struct{ Front func(*http.Request) bool }

// Authenticate implements Authenticator.
func (t TrustedHeaders) Authenticate(_ context.Context, r *http.Request) (*Identity, error) {
	if t.Front != nil && !t.Front(r) {
		return nil, nil
	}
	id := &Identity{UserID: r.Header.Get("X-User-Id"), ProjectID: r.Header.Get("X-Project-Id")}
	if id.ProjectID == "" {
		id.ProjectID = r.Header.Get("X-Tenant-Id")
	}
	if id.UserID == "" {
		return nil, nil
	}
	for _, role := range strings.Split(r.Header.Get("X-Roles"), ",") {
		if role = strings.ToLower(strings.TrimSpace(role)); role != "" {
			id.Roles = append(id.Roles, role)
		}
	}
	return id, nil
}
