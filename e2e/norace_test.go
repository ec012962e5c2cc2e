//go:build !race

package e2e

// raced: the server is built as it is for users.
const raced = false
