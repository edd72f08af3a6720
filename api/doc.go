// Package api serves the OpenStack Networking API v2.0 as neutron-server does, and mounts the operator API.
//
// Each resource is one declaration (Resource): its attributes with conversion, default, validation, who may set
// and see each, what can be filtered and sorted, how it stands in the model. One engine serves create, bulk
// create, show, list, update, delete, tags, revisions and error bodies for all of them, each request being one
// transaction of the store. What needs more than a declaration (address allocation, provider segments) is a hook
// of that resource, in its own file.
//
// It knows no flow and no switch: what hosts show is read from the store's observed tables.
package api
