package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/penstock/penstock/api"
	"github.com/penstock/penstock/internal/config"
	"github.com/penstock/penstock/model"
	"github.com/penstock/penstock/pipeline"
)

// authenticator says who makes a request; nil, for auth.mode none, takes everybody for the admin.
func authenticator(a config.Auth) (api.Authenticator, error) {
	switch a.Mode {
	case "trusted-headers":
		fronts, err := a.Prefixes()
		return api.TrustedHeaders{Front: api.TrustFrom(fronts)}, err
	case "keystone":
		k := a.Keystone
		return &api.Keystone{URL: k.URL, Username: k.Username, Password: k.Password, Project: k.Project, Domain: k.Domain}, nil
	}
	return nil, nil
}

func settings(p config.PacketIn) pipeline.Settings {
	s := pipeline.DefaultSettings()
	s.DHCPPPS, s.DHCPBurst, s.ARPPPS, s.ARPBurst = p.DHCPPPS, p.DHCPBurst, p.ARPPPS, p.ARPBurst
	s.LogPPS, s.LogBurst = p.LogPPS, p.LogBurst
	return s
}

func networks(cfg config.Config) (api.Networks, error) {
	n := api.Networks{External: cfg.Networks.ExternalPhysicalNetwork, UnderlayMTU: cfg.Networks.UnderlayMTU, DNSDomain: cfg.Networks.DNSDomain, MaxRoutes: cfg.Networks.MaxRoutes,
		Physical: map[string]api.Physical{}}
	for _, t := range cfg.Networks.TenantTypes {
		switch nt := model.NetworkType(t); nt {
		case model.NetworkLocal, model.NetworkVLAN, model.NetworkVXLAN, model.NetworkGRE, model.NetworkFlat:
			n.TenantTypes = append(n.TenantTypes, nt)
		default:
			return n, fmt.Errorf("configuration: networks.tenant_types: %q is no network type; want local, vlan, vxlan or gre", t)
		}
	}
	var err error
	if n.VXLAN, err = idRange("networks.vxlan_range", cfg.Networks.VXLANRange, 1<<24-1); err != nil {
		return n, err
	}
	if n.GRE, err = idRange("networks.gre_range", cfg.Networks.GRERange, 1<<24-1); err != nil {
		return n, err
	}
	for name, p := range cfg.Networks.Physical {
		x := api.Physical{Flat: p.Flat}
		for _, r := range p.VLANRanges {
			v, err := idRange("networks.physical."+name+".vlan_ranges", r, 4094)
			if err != nil {
				return n, err
			}
			x.VLANs = append(x.VLANs, v)
		}
		n.Physical[name] = x
	}
	return n, nil
}

func idRange(what, s string, limit uint64) ([2]uint32, error) {
	a, b, ok := strings.Cut(s, ":")
	lo, err1 := strconv.ParseUint(a, 10, 32)
	hi, err2 := strconv.ParseUint(b, 10, 32)
	if !ok || err1 != nil || err2 != nil || lo < 1 || lo > hi || hi > limit {
		return [2]uint32{}, fmt.Errorf("configuration: %s %q: want MIN:MAX within 1:%d", what, s, limit)
	}
	return [2]uint32{uint32(lo), uint32(hi)}, nil
}
