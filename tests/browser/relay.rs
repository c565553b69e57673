//! One address in front of several members, as a Service is: each connection goes to the first of them that takes it.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};

pub struct Relay {
    pub address: SocketAddr,
}

impl Relay {
    /// Runs until the tests end.
    pub fn start(ports: &[u16]) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let ports = ports.to_vec();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let member = ports
                    .iter()
                    .find_map(|port| TcpStream::connect(("127.0.0.1", *port)).ok());
                let Some(member) = member else { continue };
                copy_both_ways(client, member);
            }
        });
        Relay { address }
    }

    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }
}

fn copy_both_ways(client: TcpStream, member: TcpStream) {
    let one_way = |mut from: TcpStream, mut to: TcpStream| {
        std::thread::spawn(move || {
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Both);
            let _ = from.shutdown(Shutdown::Both);
        });
    };
    one_way(client.try_clone().unwrap(), member.try_clone().unwrap());
    one_way(member, client);
}
