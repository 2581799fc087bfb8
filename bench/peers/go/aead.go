package main

import (
	"encoding/binary"
	"fmt"
	"log"

	"golang.org/x/crypto/chacha20poly1305"
)

// aead seals and opens in place, one message at a time.
func aead(size int) {
	name := fmt.Sprintf("aead/go/%d", size)
	if !wants(name) {
		return
	}
	key := make([]byte, chacha20poly1305.KeySize)
	c, err := chacha20poly1305.New(key)
	if err != nil {
		log.Fatal(err)
	}
	var nonce [chacha20poly1305.NonceSize]byte
	buf := make([]byte, size, size+chacha20poly1305.Overhead)
	counter := uint64(0)
	run(name, func() (int, int) {
		for i := 0; i < 1000; i++ {
			binary.LittleEndian.PutUint64(nonce[4:], counter)
			counter++
			sealed := c.Seal(buf[:0], nonce[:], buf, nil)
			if _, err := c.Open(sealed[:0], nonce[:], sealed, nil); err != nil {
				log.Fatal(err)
			}
		}
		return 1000, 1000 * size
	})
}
