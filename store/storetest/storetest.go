// Package storetest opens real stores for the tests of other packages. It is not used outside tests.
package storetest

import (
	"context"
	"reflect"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/store"
)

// New opens a store on an embedded etcd in t.TempDir and closes it when the test ends.
func New(t testing.TB) *store.Store {
	t.Helper()
	return Open(t, store.Config{DataDir: t.TempDir()})
}

// Open opens a store with a configuration, logging to the test, and closes it when the test ends. The few
// MiB that a test needs may be all that its disk has, so the room asked for is small.
func Open(t testing.TB, cfg store.Config) *store.Store {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = zaptest.NewLogger(t, zaptest.Level(zap.WarnLevel))
	}
	if cfg.MinFreeBytes == 0 {
		cfg.MinFreeBytes = 1 << 20
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	s, err := store.Open(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close store: %v", err)
		}
	})
	return s
}

// Put writes objects in one transaction, as intent or as observed, whatever their tables are, without any of
// the rules that the API keeps. It gives the revision.
func Put(t testing.TB, s *store.Store, objs ...model.Object) int64 {
	t.Helper()
	return update(t, s, func(tx *store.Tx) {
		for _, o := range objs {
			tx.Put(TableOf(t, o), o)
		}
	})
}

// Delete deletes objects in one transaction and gives the revision.
func Delete(t testing.TB, s *store.Store, objs ...model.Object) int64 {
	t.Helper()
	return update(t, s, func(tx *store.Tx) {
		for _, o := range objs {
			tx.Delete(TableOf(t, o), o.ObjectID())
		}
	})
}

func update(t testing.TB, s *store.Store, fn func(tx *store.Tx)) int64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	rev, err := s.Update(ctx, store.Meta{Author: "test"}, func(tx *store.Tx) error {
		fn(tx)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rev
}

// TableOf gives the table that an object's type belongs to.
func TableOf(t testing.TB, o model.Object) *model.Table {
	t.Helper()
	for _, tab := range model.Tables() {
		if reflect.TypeOf(tab.New()) == reflect.TypeOf(o) {
			return tab
		}
	}
	t.Fatalf("no table for %T", o)
	return nil
}
