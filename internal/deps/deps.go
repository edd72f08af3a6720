// Package deps keeps modules in go.mod while the packages that use them are being written.
package deps

import (
	_ "github.com/fsnotify/fsnotify"
	_ "github.com/google/go-cmp/cmp"
	_ "github.com/google/uuid"
	_ "github.com/gopacket/gopacket"
	_ "github.com/hashicorp/go-memdb"
	_ "github.com/insomniacslk/dhcp/dhcpv4"
	_ "github.com/ovn-kubernetes/libovsdb/client"
	_ "github.com/prometheus/client_golang/prometheus"
	_ "github.com/rogpeppe/go-internal/testscript"
	_ "github.com/spf13/cobra"
	_ "github.com/spf13/pflag"
	_ "go.etcd.io/etcd/client/v3"
	_ "go.etcd.io/etcd/server/v3/embed"
	_ "go.uber.org/zap"
	_ "go.yaml.in/yaml/v3"
	_ "golang.org/x/time/rate"
)
