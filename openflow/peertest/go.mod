module github.com/penstock/penstock/openflow/peertest

go 1.26.0

require (
	github.com/contiv/libOpenflow v0.0.0-20200107061746-e3817550c83b
	github.com/contiv/ofnet v0.0.0-20180104211757-c080e5b6e9be
	github.com/penstock/penstock v0.0.0
)

require (
	github.com/Sirupsen/logrus v1.0.6 // indirect
	github.com/streamrail/concurrent-map v0.0.0-20160823150647-8bf1e9bacbf6 // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/term v0.47.0 // indirect
)

replace github.com/penstock/penstock => ../..
