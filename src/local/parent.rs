//! `serve --stop-with-parent`: standard input is a pipe whose other end the supervisor holds open and never writes to.
//! However the supervisor ends, even by kill -9, the kernel closes it, and the member stops as on SIGTERM. prctl(2)'s parent
//! death signal would need unsafe code between fork and exec, and follows the thread that forked, not the process.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

/// The read end of the supervisor's pipe.
#[derive(Debug)]
pub struct Parent(pipe::Receiver);

impl Parent {
    /// Takes standard input. An error of kind `InvalidInput` if it isn't a pipe: the option is for `cluster`, or for another
    /// parent that gives it one. Call it within a runtime.
    pub fn on_stdin() -> io::Result<Parent> {
        Parent::on(io::stdin().as_fd().try_clone_to_owned()?)
    }

    fn on(pipe: OwnedFd) -> io::Result<Parent> {
        Ok(Parent(pipe::Receiver::from_owned_fd(pipe)?))
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::time::Duration;
    use tokio::time::timeout;

    #[tokio::test]
    async fn it_waits_until_the_other_end_is_closed_whatever_is_written_to_it() {
        let (ours, mut theirs) = io::pipe().unwrap();
        let mut parent = Parent::on(ours.into()).unwrap();
        theirs.write_all(b"noise").unwrap();
        timeout(Duration::from_millis(50), parent.gone())
            .await
            .expect_err("it is still there");
        drop(theirs);
        timeout(Duration::from_secs(10), parent.gone()).await.unwrap();
    }

    #[tokio::test]
    async fn what_is_not_a_pipe_is_refused() {
        let file = std::fs::File::open("/dev/null").unwrap();
        assert_eq!(Parent::on(file.into()).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
