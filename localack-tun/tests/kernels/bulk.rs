//! Plenty of octets: both ways, over many connections, one by one, and to readers that take their time.

use core::time::Duration;
use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;

use localack_tun::clock::Clock;
use socket2::SockRef;

use crate::common::privileged;
use crate::content::{Content, receive, receive_at_most, send, send_in_pieces};
use crate::world::{BOTH_WAYS, World, carry, carry_both_ways, number, patient};

#[test]
fn bulk_goes_out_and_in_and_both_ways_at_once() {
    if !privileged() {
        return;
    }
    let mut world = World::new("bulk", BOTH_WAYS);
    let octets = if crate::is_long() {
        400 << 20
    } else {
        12 << 20
    };
    for server in world.servers {
        let [near, far] = world.connect(server);
        carry(&near, &far, octets);
        carry(&far, &near, octets);
        carry_both_ways(&world.connect(server), octets);
    }
    assert!(world.counter("transmit", "local-ack") > 100);
    let log = world.stop();
    assert_eq!(log.matches("custody begins").count(), 8, "{log}");
}

#[test]
fn two_hundred_connections_at_once() {
    if !privileged() {
        return;
    }
    let mut world = World::new("many", BOTH_WAYS);
    let connections: Vec<_> = (0..200)
        .map(|n| world.connect(world.servers[n % 2]))
        .collect();
    thread::scope(|scope| {
        for connection in &connections {
            scope.spawn(|| carry_both_ways(connection, 60_000));
        }
    });
    assert_eq!(world.counter("engine", "flows-adopted"), 200);
    assert!(world.counter("transmit", "local-ack") > 400);
    world.stop();
}

#[test]
fn octets_that_are_written_one_by_one() {
    if !privileged() {
        return;
    }
    let world = World::new("single", BOTH_WAYS);
    thread::scope(|scope| {
        for [near, far] in world.servers.map(|server| world.connect(server)) {
            scope.spawn(move || {
                for (from, to) in [(&near, &far), (&far, &near)] {
                    from.set_nodelay(true).unwrap();
                    let number = number();
                    thread::scope(|scope| {
                        scope.spawn(|| {
                            send_in_pieces(from, number, 5000, 1).unwrap();
                            from.shutdown(Shutdown::Write).unwrap();
                        });
                        receive(to).is_whole(number, 5000);
                    });
                }
            });
        }
    });
}

/// Writes until nothing has gone on for some seconds, even on a busy machine; how much has gone then.
fn fill(mut stream: &TcpStream, content: &mut Content) -> u64 {
    stream
        .set_write_timeout(Some(Duration::from_secs(4)))
        .unwrap();
    let (mut room, mut gone) = (vec![0; 1 << 16], 0);
    loop {
        content.fill(&mut room);
        let mut rest = room.as_slice();
        while !rest.is_empty() {
            match stream.write(rest) {
                Ok(some) => {
                    gone += some as u64;
                    rest = &rest[some..];
                }
                Err(error) => {
                    assert!(
                        matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
                        "{error}"
                    );
                    return gone;
                }
            }
        }
    }
}

#[test]
fn a_reader_that_stops_closes_the_window_and_opens_it_again() {
    if !privileged() {
        return;
    }
    let world = World::new("slow", "");
    thread::scope(|scope| {
        for [near, far] in world.servers.map(|server| world.connect(server)) {
            let world = &world;
            scope.spawn(move || {
                let number = number();
                let gone = fill(&near, &mut Content::new(number));
                // The gateway holds what it may, and no more.
                let held =
                    |flow: &localack_tun::control::protocol::FlowEntry| flow.inner_to_outer.custody;
                let ends = (near.local_addr().unwrap(), far.local_addr().unwrap());
                let flows = world.flows();
                let flow = flows
                    .iter()
                    .find(|flow| (flow.inner, flow.outer) == ends)
                    .unwrap();
                assert!((64 << 10..=4 << 20).contains(&held(flow)), "{flow:?}");
                // The reader takes a little now and then, and at last everything.
                let mut reader = &far;
                let mut room = vec![0; 8 << 10];
                let mut slow = 0;
                let clock = Clock::start();
                let received = thread::scope(|scope| {
                    let reading = scope.spawn(|| {
                        let mut taken = Vec::new();
                        while clock.now() < Duration::from_secs(1) {
                            let some = reader.read(&mut room).unwrap();
                            taken.extend_from_slice(&room[..some]);
                            slow += some as u64;
                            thread::sleep(Duration::from_millis(20));
                        }
                        receive_at_most(taken.chain(&far), gone)
                    });
                    reading.join().unwrap()
                });
                received.is_whole(number, gone);
                assert!(slow < gone);
                carry(&far, &near, 300_000);
            });
        }
    });
}

#[test]
fn a_process_that_ends_right_after_its_last_write() {
    if !privileged() {
        return;
    }
    let world = World::over("exit", "--delay 60ms --rate 50mbit", "");
    thread::scope(|scope| {
        for server in world.servers {
            let world = &world;
            scope.spawn(move || {
                let listener = world.listen(server);
                let port = listener.local_addr().unwrap().port();
                let number = number();
                let file = crate::common::Scratch::new(&format!("exit-{number}"));
                send(std::fs::File::create(&file.0).unwrap(), number, 700_000).unwrap();
                let clock = Clock::start();
                let mut child = world
                    .command(crate::gateway::Site::Client, "bash")
                    .arg("-c")
                    .arg(format!(
                        "exec cat {} > /dev/tcp/{server}/{port}",
                        file.0.display()
                    ))
                    .spawn()
                    .unwrap();
                let (far, _) = listener.accept().unwrap();
                let [far, _] = patient([far.try_clone().unwrap(), far]);
                assert!(child.wait().unwrap().success(), "after {:?}", clock.now());
                receive(&far).is_whole(number, 700_000);
            });
        }
    });
}

#[test]
fn forty_uploads_and_fifty_notes_whose_senders_close_at_once() {
    if !privileged() {
        return;
    }
    let mut world = World::over("notes", "--delay 40ms --rate 100mbit --queue 2mib", "");
    let sizes: Vec<u64> = (0..40)
        .map(|n| 20_000 + 5000 * n)
        .chain((0..50).map(|_| 2000))
        .collect();
    thread::scope(|scope| {
        for server in world.servers {
            let (world, sizes) = (&world, &sizes);
            scope.spawn(move || {
                let listener = world.listen(server);
                let address = listener.local_addr().unwrap();
                let numbers: Vec<_> = sizes.iter().map(|_| number()).collect();
                thread::scope(|scope| {
                    for (size, number) in sizes.iter().zip(&numbers) {
                        scope.spawn(move || {
                            let stream = world.dial(address).unwrap();
                            SockRef::from(&stream).set_tcp_nodelay(true).unwrap();
                            send(&stream, *number, *size).unwrap();
                            drop(stream);
                        });
                    }
                    let readers: Vec<_> = numbers
                        .iter()
                        .map(|_| {
                            let (far, peer) = listener.accept().unwrap();
                            let [far, _] = patient([far.try_clone().unwrap(), far]);
                            scope.spawn(move || (receive(&far), peer))
                        })
                        .collect();
                    let mut seen = BTreeSet::new();
                    for reader in readers {
                        let (received, peer) = reader.join().unwrap();
                        // The server sees the client itself.
                        assert_eq!(peer.ip(), world.client(server), "{peer}");
                        let place = numbers.iter().position(|n| Some(*n) == received.number);
                        let place = place.unwrap_or_else(|| panic!("{received:?}"));
                        received.is_whole(numbers[place], sizes[place]);
                        assert!(seen.insert(place), "twice");
                    }
                });
            });
        }
    });
    assert_eq!(world.counter("engine", "flows-adopted"), 180);
    assert!(world.counter("transmit", "local-ack") > 180);
    world.stop();
}

#[test]
fn the_server_sees_the_address_and_port_of_the_client() {
    if !privileged() {
        return;
    }
    let world = World::new("address", BOTH_WAYS);
    for server in world.servers {
        let [near, far] = world.connect(server);
        assert_eq!(far.peer_addr().unwrap(), near.local_addr().unwrap());
        assert_eq!(near.peer_addr().unwrap(), far.local_addr().unwrap());
        assert_eq!(near.local_addr().unwrap().ip(), world.client(server));
        carry(&near, &far, 10_000);
    }
    // And a client on the outer side: the server is on the inner one.
    for connection in world.servers.map(|server| world.connect_inward(server)) {
        let [near, far] = &connection;
        assert_eq!(far.peer_addr().unwrap(), near.local_addr().unwrap());
        carry_both_ways(&connection, 300_000);
    }
}
