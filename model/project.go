package model

// byProject indexes a table of user-made objects by the project that owns them.
func byProject(t *Table) *Index {
	return index(t, "project", func(o Object) []string {
		return one(o.(interface{ MetaOf() *Meta }).MetaOf().ProjectID)
	})
}

// The indexes by project, for quotas and filters of the API.
var (
	NetworksByProject = byProject(Networks)
	SubnetsByProject  = byProject(Subnets)
	PortsByProject    = byProject(Ports)
)
