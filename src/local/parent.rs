//! `serve --stop-with-parent`: standard input is a pipe whose other end the supervisor holds open and never writes to.
//! However the supervisor ends, kill -9 included, the kernel closes it, and the member stops as on SIGTERM. The parent
//! death signal of prctl(2) would need unsafe code between fork and exec, and follows the thread that forked, not the
//! process.

use std::io;
use std::os::fd::AsFd;

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

/// The read end of the supervisor's pipe.
#[derive(Debug)]
pub struct Parent(pipe::Receiver);

impl Parent {
    /// Takes standard input. An error of kind `InvalidInput` when it isn't a pipe: the option is for `cluster`, or for
    /// whoever gives it one. Call it within a runtime.
    pub fn on_stdin() -> io::Result<Parent> {
        let stdin = io::stdin().as_fd().try_clone_to_owned()?;
        Ok(Parent(pipe::Receiver::from_owned_fd(stdin)?))
    }

    /// Returns when the parent is gone. Cancel-safe.
    pub async fn gone(&mut self) {
        let mut ignored = [0; 64];
        loop {
            match self.0.read(&mut ignored).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }
}
