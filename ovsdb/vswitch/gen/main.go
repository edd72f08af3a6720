// Command gen writes package vswitch: libovsdb's generated models of the few tables and columns of the
// Open vSwitch schema that Penstock reads or writes. A column that is not here is never monitored, so
// that counters which change every few seconds (statistics, status) cost nothing, and a server needs
// only these columns to be compatible.
//
// Usage: gen SCHEMA DIRECTORY, the schema being Open vSwitch's vswitch.ovsschema.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/ovn-kubernetes/libovsdb/modelgen"
	"github.com/ovn-kubernetes/libovsdb/ovsdb"
)

// columns are the tables and columns that are kept.
var columns = map[string][]string{
	"Open_vSwitch": {"bridges", "external_ids", "next_cfg", "cur_cfg", "ovs_version", "datapath_types", "iface_types", "ssl"},
	"Bridge": {"name", "datapath_type", "datapath_id", "fail_mode", "protocols", "controller", "ports",
		"other_config", "external_ids"},
	"Port":      {"name", "interfaces", "external_ids"},
	"Interface": {"name", "type", "options", "ofport", "ofport_request", "external_ids", "link_state", "error"},
	"Controller": {"target", "connection_mode", "max_backoff", "inactivity_probe", "controller_queue_size",
		"external_ids"},
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: gen SCHEMA DIRECTORY")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(file, dir string) error {
	raw, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	// A plain map keeps what libovsdb's schema type does not know about.
	var schema map[string]any
	if err := json.Unmarshal(raw, &schema); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if err := prune(schema); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if raw, err = json.Marshal(schema); err != nil {
		return err
	}
	var pruned ovsdb.DatabaseSchema
	if err := json.Unmarshal(raw, &pruned); err != nil {
		return err
	}
	gen, err := modelgen.NewGenerator()
	if err != nil {
		return err
	}
	for name, table := range pruned.Tables {
		args := modelgen.GetTableTemplateData("vswitch", name, &table)
		args.WithExtendedGen(true)
		if err := gen.Generate(filepath.Join(dir, modelgen.FileName(name)), modelgen.NewTableTemplate(), args); err != nil {
			return err
		}
	}
	return gen.Generate(filepath.Join(dir, "model.go"), modelgen.NewDBTemplate(), modelgen.GetDBTemplateData("vswitch", pruned))
}

// prune takes out of the schema what is not listed in columns, references to tables that go included.
func prune(schema map[string]any) error {
	tables, ok := schema["tables"].(map[string]any)
	if !ok {
		return fmt.Errorf("no tables")
	}
	for name := range tables {
		if _, keep := columns[name]; !keep {
			delete(tables, name)
		}
	}
	for name, want := range columns {
		table, ok := tables[name].(map[string]any)
		if !ok {
			return fmt.Errorf("no table %s", name)
		}
		have, ok := table["columns"].(map[string]any)
		if !ok {
			return fmt.Errorf("table %s has no columns", name)
		}
		kept := make(map[string]any, len(want))
		for _, c := range want {
			if kept[c] = have[c]; kept[c] == nil {
				return fmt.Errorf("table %s has no column %s", name, c)
			}
			unrefer(kept[c])
		}
		table["columns"] = kept
	}
	return nil
}

// unrefer makes a reference to a table that is not kept a plain UUID.
func unrefer(column any) {
	c, _ := column.(map[string]any)
	typ, _ := c["type"].(map[string]any)
	if key, ok := typ["key"].(map[string]any); ok {
		if ref, ok := key["refTable"].(string); ok && columns[ref] == nil {
			delete(key, "refTable")
		}
	}
}
