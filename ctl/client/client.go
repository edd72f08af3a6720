// Package client asks penstockd: the Networking API v2.0 as untyped objects in the order the server gives them,
// and the operator API as the types of package opapi. Its errors are one line that says what to do. It prints
// nothing and knows no commands.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// DefaultEndpoint is where penstockd listens when nothing else is said.
const DefaultEndpoint = "http://127.0.0.1:9696"

// maxBody bounds an answer: about 100,000 ports.
const maxBody = 256 << 20

// Client asks one penstockd. It is safe for concurrent use.
type Client struct {
	base    *url.URL
	timeout time.Duration
	http    *http.Client
	// Token, if set, is sent as X-Auth-Token: a keystone token.
	Token string
	// Progress, if set, is told of each request before it is sent; what it returns is called when the answer is
	// there.
	Progress func(what string) (done func())
}

// New makes a client of an endpoint such as http://127.0.0.1:9696. Each request may take as long as timeout, without
// a limit if that is zero.
func New(endpoint string, timeout time.Duration) (*Client, error) {
	if !strings.Contains(endpoint, "://") {
		endpoint = "http://" + endpoint
	}
	u, err := url.Parse(endpoint)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, fmt.Errorf("endpoint %q is not a URL: want one such as %s", endpoint, DefaultEndpoint)
	}
	u.Path = strings.TrimSuffix(strings.TrimSuffix(u.Path, "/"), "/v2.0")
	u.RawQuery, u.Fragment = "", ""
	return &Client{base: u, timeout: timeout, http: &http.Client{
		Transport: &http.Transport{Proxy: nil, MaxIdleConns: 4, IdleConnTimeout: 30 * time.Second},
	}}, nil
}

// Endpoint is the URL that is asked, without a path of an API.
func (c *Client) Endpoint() string { return c.base.String() }

// APIError is an answer that is not a success.
type APIError struct {
	Status  int    // of HTTP
	Type    string // NeutronError's type, empty when the body held none
	Message string // one line
}

// Error is the message alone: it says what is wrong.
func (e *APIError) Error() string { return e.Message }

// IsNotFound tells whether an error is the API's answer that something is not there.
func IsNotFound(err error) bool {
	var e *APIError
	return errors.As(err, &e) && e.Status == http.StatusNotFound
}

// OneLine folds white space, so that a text is one line.
func OneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// do sends a request and returns the body of a success. body is nil or is encoded as JSON; path is absolute.
func (c *Client) do(ctx context.Context, method, path string, query url.Values, body any) ([]byte, error) {
	var payload []byte
	if body != nil {
		var err error
		if payload, err = json.Marshal(body); err != nil {
			return nil, fmt.Errorf("encode request: %w", err)
		}
	}
	u := *c.base
	u.Path += path
	u.RawQuery = query.Encode()
	what := method + " " + path
	if c.Progress != nil {
		defer c.Progress(what)()
	}
	if c.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.timeout)
		defer cancel()
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(payload))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	req.Header.Set("Accept", "application/json")
	if c.Token != "" {
		req.Header.Set("X-Auth-Token", c.Token)
	}
	if payload != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(what, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	switch {
	case err != nil:
		return nil, c.unreachable(what, err)
	case len(b) > maxBody:
		return nil, fmt.Errorf("%s: the answer is longer than %d MB: ask for less", what, maxBody>>20)
	case resp.StatusCode >= 300:
		return nil, c.failure(what, resp.StatusCode, b)
	}
	return b, nil
}

// unreachable says what to do when there was no answer.
func (c *Client) unreachable(what string, err error) error {
	var dns *net.DNSError
	switch {
	case errors.Is(err, context.Canceled):
		return errors.New("interrupted")
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("penstockd at %s did not answer %s in %v: is it busy? See its log, or wait longer with --timeout", c.base, what, c.timeout)
	case errors.Is(err, syscall.ECONNREFUSED), errors.As(err, &dns):
		reason := "connection refused"
		if dns != nil {
			reason = "no such host"
		}
		return fmt.Errorf("penstockd is not reachable at %s: is it running? Start it, or name another with --endpoint or PENSTOCK_ENDPOINT (%s)", c.base, reason)
	case strings.Contains(err.Error(), "HTTP response to HTTPS client"):
		return fmt.Errorf("%s does not speak TLS: use an endpoint that begins with http://", c.base)
	}
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err
	}
	return fmt.Errorf("penstockd at %s broke off %s (%s): is it running, and is this its address?", c.base, what, OneLine(err.Error()))
}

// failure turns an answer that is not a success into an error.
func (c *Client) failure(what string, status int, body []byte) error {
	var ne struct {
		NeutronError json.RawMessage
	}
	if json.Unmarshal(body, &ne) == nil && len(ne.NeutronError) > 0 {
		var d struct{ Type, Message, Detail string }
		if json.Unmarshal(ne.NeutronError, &d) != nil {
			_ = json.Unmarshal(ne.NeutronError, &d.Message) // in some answers it is a plain string
		}
		if m := OneLine(d.Message + " " + d.Detail); m != "" {
			return &APIError{status, d.Type, m}
		}
	}
	text := fmt.Sprintf("penstockd at %s answered %d %s to %s", c.base, status, http.StatusText(status), what)
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		text += ": it asks for authentication"
	case status == http.StatusNotFound:
		text += ": it is not penstockd, or an older one than this penstockctl"
	case status >= 500:
		text += ": see its log"
	}
	return &APIError{status, "", text}
}

// decode reads a JSON answer into v.
func (c *Client) decode(what string, b []byte, v any) error {
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%s answers %s with what is not the API's JSON (%s): is this penstockd's address?", c.base, what, OneLine(err.Error()))
	}
	return nil
}

// Send sends a request with a JSON body (none if nil) and decodes the answer into v, if that is not nil.
func (c *Client) Send(ctx context.Context, method, path string, query url.Values, body, v any) error {
	b, err := c.do(ctx, method, path, query, body)
	if err != nil || v == nil {
		return err
	}
	return c.decode(method+" "+path, b, v)
}

// Get reads a path of the operator API into v.
func (c *Client) Get(ctx context.Context, path string, query url.Values, v any) error {
	b, err := c.do(ctx, http.MethodGet, path, query, nil)
	if err != nil {
		return err
	}
	return c.decode("GET "+path, b, v)
}

// Object is an object of the Networking API: its JSON in the server's order, and its attributes.
type Object struct {
	Raw   json.RawMessage
	Attrs map[string]any // as encoding/json decodes with numbers kept as json.Number
}

// UnmarshalJSON implements json.Unmarshaler.
func (o *Object) UnmarshalJSON(b []byte) error {
	o.Raw = append(json.RawMessage(nil), b...)
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	return d.Decode(&o.Attrs)
}

// MarshalJSON implements json.Marshaler.
func (o Object) MarshalJSON() ([]byte, error) { return o.Raw, nil }

// Text gives an attribute that is a string, "" for others.
func (o *Object) Text(attr string) string {
	s, _ := o.Attrs[attr].(string)
	return s
}

// In gives the object that an attribute is.
func (o *Object) In(key string) (*Object, error) {
	var m map[string]*Object
	if err := json.Unmarshal(o.Raw, &m); err != nil || m[key] == nil {
		return nil, fmt.Errorf("the answer has no %s: is penstockd older than this penstockctl?", key)
	}
	return m[key], nil
}

// Collection is a collection of the Networking API.
type Collection struct {
	Name string // "network", the key of one object in bodies
	Path string // "/v2.0/networks"
	Many string // "networks", the key of a list
	// Handle is the attribute that people name an object by; empty: its name.
	Handle string
	// Noun is what people call an object, where that is not Name.
	Noun string
}

// Words is the collection's name in a sentence: "security group".
func (c Collection) Words() string {
	if c.Noun != "" {
		return c.Noun
	}
	return strings.ReplaceAll(c.Name, "_", " ")
}

// Command is the collection's name on the command line: "security-group".
func (c Collection) Command() string { return strings.ReplaceAll(c.Words(), " ", "-") }

// NameAttr is the attribute that people name an object by.
func (c Collection) NameAttr() string {
	if c.Handle != "" {
		return c.Handle
	}
	return "name"
}

// List reads a collection, page by page where the server gives pages.
func (c *Client) List(ctx context.Context, col Collection, query url.Values) ([]Object, error) {
	var all []Object
	for {
		b, err := c.do(ctx, http.MethodGet, col.Path, query, nil)
		if err != nil {
			return nil, err
		}
		var page map[string]json.RawMessage
		if err := c.decode("GET "+col.Path, b, &page); err != nil {
			return nil, err
		}
		var objs []Object
		if err := c.decode("GET "+col.Path, page[col.Many], &objs); err != nil {
			return nil, err
		}
		all = append(all, objs...)
		if query.Has("limit") || len(objs) == 0 {
			return all, nil
		}
		next := nextPage(page[col.Many+"_links"])
		if next == nil {
			return all, nil
		}
		query = next
	}
}

// nextPage gives the query of the link to the next page, nil if there is none. Only its query is taken, so that a
// server behind a proxy cannot lead elsewhere.
func nextPage(links json.RawMessage) url.Values {
	var ls []struct{ Rel, Href string }
	if json.Unmarshal(links, &ls) != nil {
		return nil
	}
	for _, l := range ls {
		if u, err := url.Parse(l.Href); err == nil && l.Rel == "next" && u.Query().Has("marker") {
			q := u.Query()
			q.Del("limit") // what is left comes in pages of the server's own size
			return q
		}
	}
	return nil
}

// Show reads one object by its id.
func (c *Client) Show(ctx context.Context, col Collection, id string) (*Object, error) {
	return c.one(ctx, http.MethodGet, col, "/"+id, nil)
}

// Create makes an object.
func (c *Client) Create(ctx context.Context, col Collection, attrs map[string]any) (*Object, error) {
	return c.one(ctx, http.MethodPost, col, "", attrs)
}

// Update changes an object.
func (c *Client) Update(ctx context.Context, col Collection, id string, attrs map[string]any) (*Object, error) {
	return c.one(ctx, http.MethodPut, col, "/"+id, attrs)
}

// Action runs an action of an object, which answers with something of its own.
func (c *Client) Action(ctx context.Context, col Collection, id, action string, body any) (*Object, error) {
	o := new(Object)
	return o, c.Send(ctx, http.MethodPut, col.Path+"/"+id+"/"+action, nil, body, o)
}

// Delete deletes an object.
func (c *Client) Delete(ctx context.Context, col Collection, id string) error {
	_, err := c.do(ctx, http.MethodDelete, col.Path+"/"+id, nil, nil)
	return err
}

func (c *Client) one(ctx context.Context, method string, col Collection, suffix string, attrs map[string]any) (*Object, error) {
	var body any
	if attrs != nil {
		body = map[string]any{col.Name: attrs}
	}
	b, err := c.do(ctx, method, col.Path+suffix, nil, body)
	if err != nil {
		return nil, err
	}
	var answer map[string]*Object
	if err := c.decode(method+" "+col.Path, b, &answer); err != nil {
		return nil, err
	}
	if o := answer[col.Name]; o != nil {
		return o, nil
	}
	return nil, fmt.Errorf("%s answers %s %s without a %s: is this penstockd's address?", c.base, method, col.Path, col.Name)
}

// Find resolves a name or an id as the openstack command line does: an id wins, then a name that only one object
// has. The error says which ids share a name.
func (c *Client) Find(ctx context.Context, col Collection, nameOrID string, fields ...string) (*Object, error) {
	ask := func(attr string) ([]Object, error) {
		q := url.Values{attr: {nameOrID}}
		if len(fields) > 0 {
			q["fields"] = append([]string{"id", col.NameAttr()}, fields...)
		}
		return c.List(ctx, col, q)
	}
	if nameOrID == "" {
		return nil, fmt.Errorf("the %s's name is empty: give its name or id", col.Command())
	}
	if looksLikeID(nameOrID) {
		if l, err := ask("id"); err != nil || len(l) == 1 {
			return pick(l), err
		}
	}
	var l []Object
	var err error
	if col.NameAttr() != "id" || !looksLikeID(nameOrID) {
		l, err = ask(col.NameAttr())
	}
	switch {
	case err != nil:
		return nil, err
	case len(l) == 0:
		return nil, &APIError{http.StatusNotFound, "", fmt.Sprintf("there is no %s %q: see penstockctl %s list", col.Command(), nameOrID, col.Command())}
	case len(l) > 1:
		ids := make([]string, 0, 5)
		for i := range l {
			if i == 4 && len(l) > 5 {
				ids = append(ids, fmt.Sprintf("%d more", len(l)-i))
				break
			}
			ids = append(ids, l[i].Text("id"))
		}
		return nil, fmt.Errorf("%d %s have the name %q: give the id of one: %s", len(l), col.Words()+"s", nameOrID, strings.Join(ids, ", "))
	}
	return &l[0], nil
}

func pick(l []Object) *Object {
	if len(l) == 0 {
		return nil
	}
	return &l[0]
}

// looksLikeID tells whether s is written as a UUID, with or without dashes, so that an extra question is worth it.
func looksLikeID(s string) bool {
	n := 0
	for _, r := range s {
		switch {
		case r >= '0' && r <= '9', r >= 'a' && r <= 'f', r >= 'A' && r <= 'F':
			n++
		case r != '-':
			return false
		}
	}
	return n == 32
}
