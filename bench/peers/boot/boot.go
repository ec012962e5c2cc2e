// Package boot starts a comparison server: its one flag, its one line, its end.
package boot

import (
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"syscall"
)

// Run listens at the flag -addr, serves, and exits with 0 at SIGINT or SIGTERM.
func Run(serve func(net.Listener) error) {
	addr := flag.String("addr", "127.0.0.1:0", "listen at `host:port`; port 0 takes a free one")
	flag.Parse()
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	ln, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	go func() { log.Fatal(serve(ln)) }()
	fmt.Printf("listening ws://%s\n", ln.Addr())
	<-stop
	os.Exit(0)
}
