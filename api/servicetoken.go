package api

import "context"

// Token gives the service user's own token, for asking other services than keystone; refused has it get a new one,
// since the last was. It is remembered until shortly before it expires.
func (k *Keystone) Token(ctx context.Context, refused bool) (string, error) {
	return k.ownToken(ctx, refused)
}
