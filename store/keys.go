package store

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/penstock/penstock/model"
)

// The layout of keys. What the watch must see lies in one range, [watchFrom, watchTo), so that one watcher
// delivers every revision whole and in order; what is written often and read seldom lies before it.
const (
	root       = "/penstock/v1/"
	schemaKey  = "/penstock/schema"
	commitPfx  = root + "commit/"
	guardPfx   = root + "guard/"
	keyCounter = root + "key"
	watchFrom  = root + "m"
	membersPfx = root + "members/"
	numPfx     = root + "num/"
	objPfx     = root + "obj/"
	obsPfx     = root + "obs/"
	leaderKey  = root + "owner-leader"
	ownerPfx   = root + "owner/"
	uniqPfx    = root + "uniq/"
	watchTo    = root + "v"

	// schemaVersion is the version of this layout; see Open for what happens with another.
	schemaVersion = 1
)

// maxIDLen bounds ids, spaces and values, in bytes.
const maxIDLen = 1024

func objectKey(t *model.Table, id string) string {
	if t.Observed {
		return obsPfx + t.Name + "/" + id
	}
	return objPfx + t.Name + "/" + id
}

// A space may have slashes, a value is escaped so that it has none.
func uniqKey(space, value string) string { return uniqPfx + space + "/" + url.PathEscape(value) }

func numKey(space string, n uint32) string { return fmt.Sprintf("%s%s/%08x", numPfx, space, n) }

// parseObject splits what follows objPfx or obsPfx; the table is nil if this version does not know it.
func parseObject(rest string) (t *model.Table, id string) {
	name, id, _ := strings.Cut(rest, "/")
	return model.TableByName(name), id
}

func parseUniq(rest string) (space, value string, ok bool) {
	i := strings.LastIndexByte(rest, '/')
	if i < 0 {
		return "", "", false
	}
	value, err := url.PathUnescape(rest[i+1:])
	return rest[:i], value, err == nil
}

func parseNum(rest string) (space string, n uint32, ok bool) {
	i := strings.LastIndexByte(rest, '/')
	if i < 0 {
		return "", 0, false
	}
	v, err := strconv.ParseUint(rest[i+1:], 16, 32)
	return rest[:i], uint32(v), err == nil
}

func checkName(what, s string) error {
	if s == "" || len(s) > maxIDLen {
		return fmt.Errorf("store: %s has %d bytes: want 1 to %d", what, len(s), maxIDLen)
	}
	return nil
}
