//go:build race

package e2e

// raced: the server is built with the race detector too, so that what clients do
// to it from outside is watched inside.
const raced = true
