module autotag/bench

go 1.26.0

require (
	autotag/pkg v0.0.0
	github.com/BobuSumisu/aho-corasick v1.0.3
	github.com/petar-dambovaliev/aho-corasick v0.0.0-20250424160509-463d218d4745
	golang.org/x/text v0.43.0
)

require (
	github.com/rivo/uniseg v0.4.7 // indirect
	github.com/yuin/goldmark v1.8.7 // indirect
	go.yaml.in/yaml/v3 v3.0.6 // indirect
)

replace autotag/pkg => ../../pkg
