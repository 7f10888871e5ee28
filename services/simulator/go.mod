module autotag/services/simulator

go 1.26.0

require (
	autotag/pkg v0.0.0
	go.yaml.in/yaml/v3 v3.0.6
)

require (
	github.com/caarlos0/env/v11 v11.4.2 // indirect
	github.com/rivo/uniseg v0.4.7 // indirect
	github.com/stretchr/testify v1.12.1 // indirect
	github.com/yuin/goldmark v1.8.7 // indirect
	go.uber.org/multierr v1.10.0 // indirect
	go.uber.org/zap v1.28.0 // indirect
	golang.org/x/text v0.43.0 // indirect
)

replace autotag/pkg => ../../pkg
