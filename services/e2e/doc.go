// Package e2e tests Autotag as it is run: the programs ingress, tagger and
// simulator as processes of their own, configured by environment variables
// only, on a real nats-server and a real redis-server. It holds tests alone.
//
// What the tests look at:
//
//   - E2E_SEED: what is random in a run (the moments and kinds of faults, the
//     order of webhooks, ids) follows from this number; a run without it takes
//     one and prints it.
//   - E2E_RACE: 1 builds the programs with the race detector, 0 without; by
//     default as the test itself is built.
//   - E2E_LONG: 1 runs the tests that take minutes, and more chats in the others.
//   - REQUIRE_REDIS: 1 fails where no redis-server is on the PATH, instead of
//     using one in memory.
package e2e
