//! The rivals that are crates: ring, boringtun, smoltcp.  One thread.
//!   benchpeers-rust SECONDS [PREFIX]
//! A line a measurement: name, operations, bytes, nanoseconds of CPU.
mod aead;
mod tcp;
mod wg;

use std::time::Duration;

/// CPU time of this process.
fn cpu() -> Duration {
    let mut t = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut t) };
    Duration::new(t.tv_sec as u64, t.tv_nsec as u32)
}

pub struct Bench {
    seconds: f64,
    prefix: String,
}

impl Bench {
    pub fn wants(&self, name: &str) -> bool {
        name.starts_with(&self.prefix)
    }

    /// Repeats `step` for the given time; it says how many operations and
    /// bytes it did.
    pub fn run(&self, name: &str, mut step: impl FnMut() -> (u64, u64)) {
        step();
        let start = cpu();
        let (mut ops, mut bytes) = (0, 0);
        let took = loop {
            let (o, b) = step();
            ops += o;
            bytes += b;
            let took = cpu() - start;
            if took.as_secs_f64() >= self.seconds {
                break took;
            }
        };
        println!("{name}\t{ops}\t{bytes}\t{}", took.as_nanos());
    }
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let bench = Bench {
        seconds: args
            .get(1)
            .map_or(1.0, |s| s.parse().expect("SECONDS is a number")),
        prefix: args.get(2).cloned().unwrap_or_default(),
    };
    aead::run(&bench);
    wg::run(&bench);
    tcp::run(&bench);
}
