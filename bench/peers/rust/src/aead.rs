//! ring's ChaCha20-Poly1305: seal and open in place, one message at a time.
use crate::Bench;
use ring::aead::{Aad, LessSafeKey, Nonce, UnboundKey, CHACHA20_POLY1305};

fn nonce(counter: u64) -> Nonce {
    let mut n = [0; 12];
    n[4..].copy_from_slice(&counter.to_le_bytes());
    Nonce::assume_unique_for_key(n)
}

pub fn run(bench: &Bench) {
    for size in [64, 1280, 1420] {
        let name = format!("aead/ring/{size}");
        if !bench.wants(&name) {
            continue;
        }
        let key =
            LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &[7; 32]).expect("a key of 32"));
        let mut buf = vec![1u8; size + 16];
        let mut counter = 0;
        bench.run(&name, || {
            for _ in 0..1000 {
                let tag = key
                    .seal_in_place_separate_tag(nonce(counter), Aad::empty(), &mut buf[..size])
                    .expect("seals");
                buf[size..].copy_from_slice(tag.as_ref());
                key.open_in_place(nonce(counter), Aad::empty(), &mut buf)
                    .expect("opens");
                counter += 1;
            }
            (1000, 1000 * size as u64)
        });
    }
}
