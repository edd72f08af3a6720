package sim

import (
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/cenkalti/rpc2"
	"github.com/go-logr/logr"
	"github.com/google/uuid"
	dbase "github.com/ovn-kubernetes/libovsdb/database"
	"github.com/ovn-kubernetes/libovsdb/database/inmemory"
	lmodel "github.com/ovn-kubernetes/libovsdb/model"
	"github.com/ovn-kubernetes/libovsdb/ovsdb"
	"github.com/ovn-kubernetes/libovsdb/server"

	"github.com/penstock/penstock/ovsdb/vswitch"
)

const dbName = "Open_vSwitch"

// database is libovsdb's in-memory one; it tells of every commit, and outlives the servers over it.
type database struct {
	dbase.Database
	created   bool
	committed func(dbase.Update)
}

func (d *database) CreateDatabase(name string, s ovsdb.DatabaseSchema) error {
	if d.created {
		return nil
	}
	d.created = true
	return d.Database.CreateDatabase(name, s)
}

func (d *database) Commit(name string, id uuid.UUID, u dbase.Update) error {
	err := d.Database.Commit(name, id, u)
	if err == nil {
		d.committed(u)
	}
	return err
}

// dbServer serves a database on a unix socket. libovsdb's server never forgets the monitors of a client that is
// gone, and calls them before others, who then wait for ever; so when a client leaves, a new server takes the
// place of the old one, and those that are still there have to connect again.
type dbServer struct {
	path  string
	db    *database
	model lmodel.DatabaseModel

	mu      sync.Mutex
	srv     *server.OvsdbServer
	clients map[*rpc2.Client]struct{}
	closed  bool
	wg      sync.WaitGroup
}

func newDBServer(path string, committed func(dbase.Update)) (*dbServer, error) {
	client, err := vswitch.FullDatabaseModel()
	if err != nil {
		return nil, err
	}
	m, errs := lmodel.NewDatabaseModel(vswitch.Schema(), client)
	if len(errs) > 0 {
		return nil, fmt.Errorf("sim: the schema's model: %w", errs[0])
	}
	lg := logr.Discard()
	s := &dbServer{path: path, model: m, db: &database{Database: inmemory.NewDatabase(map[string]lmodel.ClientDBModel{dbName: client}, &lg), committed: committed}}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s, s.serve()
}

// serve starts a server; s.mu is held.
func (s *dbServer) serve() error {
	lg := logr.Discard()
	srv, err := server.NewOvsdbServer(s.db, &lg, s.model)
	if err != nil {
		return err
	}
	clients := map[*rpc2.Client]struct{}{}
	srv.OnConnect(func(c *rpc2.Client) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.srv != srv { // it came to the old server in its last moment
			go c.Close()
			return
		}
		clients[c] = struct{}{}
	})
	srv.OnDisConnect(func(*rpc2.Client) { s.left(srv) })
	os.Remove(s.path) // of the one before
	errs := make(chan error, 1)
	s.srv, s.clients = srv, clients
	s.wg.Go(func() { errs <- srv.Serve("unix", s.path) })
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		select {
		case err := <-errs:
			return fmt.Errorf("sim: serve OVSDB on %s: %w", s.path, err)
		default:
		}
		if srv.Ready() { // it listens
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("sim: no OVSDB server on %s within 10 s", s.path)
		}
	}
}

func (s *dbServer) left(srv *server.OvsdbServer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.srv != srv || s.closed {
		return
	}
	for c := range s.clients {
		go c.Close()
	}
	srv.Close()
	s.serve() //nolint:errcheck // a client that finds no socket says so
}

func (s *dbServer) close() {
	s.mu.Lock()
	s.closed = true
	s.srv.Close()
	s.mu.Unlock()
	s.wg.Wait()
	os.Remove(s.path)
}

// transact does operations as a client of the database would.
func (s *dbServer) transact(ops ...ovsdb.Operation) ([]*ovsdb.OperationResult, error) {
	args := []json.RawMessage{json.RawMessage(`"` + dbName + `"`)}
	for _, op := range ops {
		b, err := json.Marshal(op)
		if err != nil {
			return nil, err
		}
		args = append(args, b)
	}
	s.mu.Lock()
	srv := s.srv
	s.mu.Unlock()
	var reply []*ovsdb.OperationResult
	if err := srv.Transact(nil, args, &reply); err != nil {
		return nil, err
	}
	for _, r := range reply {
		if r != nil && r.Error != "" {
			return nil, fmt.Errorf("%s: %s", r.Error, r.Details)
		}
	}
	return reply, nil
}

func byUUID(u string) []ovsdb.Condition {
	return []ovsdb.Condition{ovsdb.NewCondition("_uuid", ovsdb.ConditionEqual, ovsdb.UUID{GoUUID: u})}
}

func uuidSet(ids ...string) ovsdb.OvsSet {
	var s ovsdb.OvsSet
	for _, id := range ids {
		s.GoSet = append(s.GoSet, ovsdb.UUID{GoUUID: id})
	}
	return s
}

func stringMap(m map[string]string) ovsdb.OvsMap {
	out := ovsdb.OvsMap{GoMap: map[any]any{}}
	for k, v := range m {
		out.GoMap[k] = v
	}
	return out
}

func stringSet(l ...string) ovsdb.OvsSet {
	var s ovsdb.OvsSet
	for _, x := range l {
		s.GoSet = append(s.GoSet, x)
	}
	return s
}
