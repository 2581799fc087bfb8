// The rivals that are Go modules: wireguard-go's packet path, and the
// ChaCha20-Poly1305 of golang.org/x/crypto.  One processor (GOMAXPROCS 1).
//
//	benchpeers-go SECONDS [PREFIX]
//
// A line a measurement: name, operations, bytes, nanoseconds of CPU.
package main

import (
	"fmt"
	"log"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

var (
	seconds = 1.0
	prefix  = ""
)

func wants(name string) bool { return strings.HasPrefix(name, prefix) }

// cpu is what this process used: its goroutines, and the collector's.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		log.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// run repeats step for the given time; step says how many operations and bytes
// it did.
func run(name string, step func() (ops, bytes int)) {
	step()
	start := cpu()
	ops, bytes := 0, 0
	for {
		o, b := step()
		ops += o
		bytes += b
		if took := cpu() - start; took.Seconds() >= seconds {
			fmt.Printf("%s\t%d\t%d\t%d\n", name, ops, bytes, took.Nanoseconds())
			return
		}
	}
}

func main() {
	log.SetFlags(0)
	runtime.GOMAXPROCS(1)
	if len(os.Args) > 1 {
		var err error
		if seconds, err = strconv.ParseFloat(os.Args[1], 64); err != nil {
			log.Fatal("SECONDS is a number: ", err)
		}
	}
	if len(os.Args) > 2 {
		prefix = os.Args[2]
	}
	for _, size := range []int{64, 1280, 1420} {
		aead(size)
	}
	tunnel()
}
