//! Small worlds, searched exhaustively: every order of a few segments, losses, duplicates,
//! overtakings, timers, FINs and resets between two ends and the engine, see
//! `localack_testkit::worlds`.
//!
//! Each test prints how many states it has seen; `LOCALACK_WORLDS=large` lets more go wrong at once,
//! which takes minutes in a release build:
//!
//! ```text
//! LOCALACK_WORLDS=large cargo test --release -p localack-core --test small_worlds -- --nocapture
//! ```

use core::time::Duration;

use localack_core::{Controller, Custody, Port};
use localack_testkit::worlds::{App, Budget, Scope};

const NONE: Budget = Budget::NONE;
const ANY_ORDER: Budget = Budget {
    overtakings: u8::MAX,
    ..NONE
};

fn is_large() -> bool {
    std::env::var("LOCALACK_WORLDS").is_ok_and(|size| size == "large")
}

/// What may go wrong in a small scope, or in a large one.
fn budget(small: Budget, large: Budget) -> Budget {
    if is_large() { large } else { small }
}

#[track_caller]
fn explore(scope: &Scope) {
    #[expect(clippy::disallowed_methods, reason = "it is printed, not asserted")]
    let began = std::time::Instant::now();
    let explored = scope.explore();
    let report = match &explored {
        Ok(summary) => summary.to_string(),
        Err(failure) => failure.to_string(),
    };
    assert!(explored.is_ok(), "{report}");
    println!("{report}; {:.1} s", began.elapsed().as_secs_f64());
}

/// Invariants 1, 2, 12, 16 and 17 with losses at every place.
#[test]
fn one_way_with_losses() {
    explore(&Scope {
        budget: budget(
            Budget { losses: 2, ..NONE },
            Budget {
                losses: 4,
                duplicates: 1,
                ..NONE
            },
        ),
        ..Scope::new("one way, losses")
    });
    explore(&Scope {
        faulty: [true, false],
        budget: budget(
            Budget { losses: 1, ..NONE },
            Budget {
                losses: 3,
                duplicates: 1,
                ..NONE
            },
        ),
        ..Scope::new("one way, losses inside")
    });
}

/// Rules H4.1 to H4.5: with and without SACK, whatever overtakes what.
#[test]
fn one_way_in_any_order() {
    for (sack, name) in [(true, "any order, SACK"), (false, "any order, no SACK")] {
        explore(&Scope {
            sack,
            budget: budget(
                Budget {
                    losses: 1,
                    ..ANY_ORDER
                },
                Budget {
                    losses: 2,
                    duplicates: 2,
                    ..ANY_ORDER
                },
            ),
            ..Scope::new(name)
        });
    }
    explore(&Scope {
        faulty: [true, true],
        apps: [App::sending(2), App::IDLE],
        budget: budget(
            Budget {
                overtakings: 1,
                duplicates: 1,
                ..NONE
            },
            Budget {
                losses: 1,
                duplicates: 1,
                ..ANY_ORDER
            },
        ),
        ..Scope::new("any order on both sides")
    });
}

/// Timers of the engine and of the ends, due or early, in every order with what is under way.
#[test]
fn timers_fire_while_packets_are_under_way() {
    explore(&Scope {
        apps: [App::sending(2), App::IDLE],
        budget: budget(
            Budget {
                early: 1,
                timeouts: 1,
                ..NONE
            },
            Budget {
                losses: 2,
                early: 2,
                timeouts: 1,
                ..NONE
            },
        ),
        ..Scope::new("timers")
    });
}

/// Rule H9.10, invariant 29.
#[test]
fn both_ways() {
    explore(&Scope {
        apps: [App::sending(2), App::sending(1)],
        served: [true; 2],
        budget: budget(
            Budget { losses: 1, ..NONE },
            Budget {
                losses: 2,
                duplicates: 1,
                ..NONE
            },
        ),
        ..Scope::new("both ways")
    });
}

/// Rules H6.1 to H6.4: either end closes first, the other goes on, or both close at once.
#[test]
fn closes_in_every_order() {
    let stepwise = |segments| App {
        stepwise: true,
        ..App::sending(segments)
    };
    explore(&Scope {
        apps: [stepwise(1), stepwise(1)],
        served: [true; 2],
        budget: budget(NONE, Budget { losses: 2, ..NONE }),
        ..Scope::new("closes")
    });
    explore(&Scope {
        apps: [stepwise(2), App::sending(0)],
        budget: budget(
            Budget { losses: 1, ..NONE },
            Budget {
                losses: 2,
                duplicates: 1,
                ..NONE
            },
        ),
        ..Scope::new("closes, half of it served")
    });
}

/// Rule H6.4 with a FIN that takes no room, as BSD sends it.
#[test]
fn closes_past_the_window() {
    let app = App {
        fin_past_window: true,
        ..App::sending(2)
    };
    explore(&Scope {
        apps: [app; 2],
        served: [true; 2],
        ..Scope::new("FINs past the window")
    });
    let app = App {
        aborts: true,
        ..app
    };
    let most = if is_large() {
        [app, App { segments: 1, ..app }]
    } else {
        [app, App::IDLE]
    };
    explore(&Scope {
        apps: most,
        served: [true; 2],
        ..Scope::new("FINs past it, resets")
    });
}

/// Sections 1.8 and 2.5, invariant 21: either end resets at any time.
#[test]
fn resets_at_any_time() {
    let resets = |app: App| App {
        aborts: true,
        ..app
    };
    explore(&Scope {
        apps: [resets(App::sending(2)), App::sending(0)],
        budget: budget(
            Budget { losses: 1, ..NONE },
            Budget {
                losses: 2,
                duplicates: 1,
                ..NONE
            },
        ),
        ..Scope::new("the sender resets")
    });
    explore(&Scope {
        apps: [App::sending(2), resets(App::sending(0))],
        budget: budget(
            Budget { losses: 1, ..NONE },
            Budget {
                losses: 2,
                duplicates: 1,
                ..NONE
            },
        ),
        ..Scope::new("the receiver resets")
    });
    explore(&Scope {
        apps: [App {
            closes: false,
            ..resets(App::sending(1))
        }; 2],
        served: [true; 2],
        budget: budget(NONE, Budget { losses: 1, ..NONE }),
        ..Scope::new("both reset")
    });
}

/// Rules H2.1 to H2.9: a window of two segments closes and opens at the reader's pace.
#[test]
fn windows_close_and_open() {
    let late = |app: App| App {
        reads_late: true,
        ..app
    };
    explore(&Scope {
        apps: [App::sending(3), late(App::IDLE)],
        budget: budget(NONE, Budget { losses: 2, ..NONE }),
        ..Scope::new("a late reader")
    });
    explore(&Scope {
        apps: [
            App::sending(2),
            late(App {
                window: 1,
                ..App::IDLE
            }),
        ],
        store: 3,
        budget: budget(Budget { early: 1, ..NONE }, Budget { early: 3, ..NONE }),
        ..Scope::new("a late reader of one segment")
    });
}

/// Rules H7.1 to H7.9, invariant 20: the handshake goes wrong, too.
#[test]
fn handshakes() {
    for (custody, name) in [
        (Custody::AfterProof, "handshake, after proof"),
        (Custody::AfterHandshake, "handshake, at once"),
    ] {
        for client in Port::BOTH {
            explore(&Scope {
                custody,
                client,
                handshake: true,
                apps: [App::sending(2), App::IDLE],
                faulty: [true; 2],
                budget: budget(
                    Budget { losses: 1, ..NONE },
                    Budget {
                        losses: 2,
                        duplicates: 1,
                        overtakings: 1,
                        ..NONE
                    },
                ),
                ..Scope::new(name)
            });
        }
    }
}

/// Rule H7.3: the third ACK is lost between the engine and a server whose client says nothing more.
#[test]
fn a_server_that_speaks_first_gets_the_third_ack() {
    explore(&Scope {
        client: Port::Outer,
        handshake: true,
        apps: [App::sending(1), App::IDLE],
        faulty: [true, false],
        budget: Budget { losses: 1, ..NONE },
        ..Scope::new("the third ACK lost inside")
    });
}

/// Rule H7.7: a second copy of the SYN arrives when the connection is open, and the server, which has
/// not had the third ACK, answers it.
#[test]
fn a_duplicate_syn_changes_nothing() {
    explore(&Scope {
        handshake: true,
        apps: [App::sending(1), App::IDLE],
        faulty: [true; 2],
        budget: Budget {
            losses: 1,
            duplicates: 1,
            overtakings: 1,
            ..NONE
        },
        ..Scope::new("a duplicate SYN")
    });
}

/// Rule H7.1 with data both ways: what proves a receiver, and when.
#[test]
fn proof() {
    explore(&Scope {
        custody: Custody::AfterProof,
        apps: [App::sending(2), App::sending(1)],
        served: [true; 2],
        budget: budget(
            Budget { losses: 1, ..NONE },
            Budget {
                losses: 2,
                duplicates: 1,
                ..NONE
            },
        ),
        ..Scope::new("after proof, both ways")
    });
}

/// Rules H1.2 and H3.1 to H3.8, with clocks that run.
#[test]
fn timestamps() {
    explore(&Scope {
        timestamps: true,
        delay: [Duration::ZERO, Duration::from_millis(2)],
        apps: [App::sending(2), App::IDLE],
        budget: budget(
            NONE,
            Budget {
                losses: 1,
                overtakings: 1,
                ..NONE
            },
        ),
        ..Scope::new("timestamps")
    });
}

/// Rules H8.7 and H9.1, T25: the receiver falls silent for ever, at any time.
#[test]
fn a_receiver_vanishes() {
    explore(&Scope {
        apps: [
            App::sending(2),
            App {
                vanishes: true,
                ..App::sending(1)
            },
        ],
        knows_paths: false,
        budget: budget(NONE, Budget { losses: 1, ..NONE }),
        ..Scope::new("the receiver vanishes")
    });
}

/// Rules of section 3, H2.11 and H4.2, invariants 19 and 25: the engine is told at any time to hand
/// the connection back, and its ends notice nothing.
#[test]
fn handed_back_at_any_time() {
    explore(&Scope {
        budget: budget(
            Budget {
                drains: 1,
                losses: 1,
                ..NONE
            },
            Budget {
                drains: 1,
                losses: 2,
                duplicates: 1,
                early: 1,
                ..NONE
            },
        ),
        ..Scope::new("handed back")
    });
    explore(&Scope {
        apps: [App::sending(1), App::sending(1)],
        served: [true; 2],
        budget: budget(
            Budget { drains: 1, ..NONE },
            Budget {
                drains: 1,
                losses: 1,
                ..NONE
            },
        ),
        ..Scope::new("handed back, both ways")
    });
}

/// Section 1.12: every controller, paced.
#[test]
fn controllers() {
    for (controller, name) in [
        (Controller::Cubic, "CUBIC, paced"),
        (Controller::Bbr, "BBR"),
    ] {
        explore(&Scope {
            controller,
            pacing: true,
            budget: budget(
                Budget { losses: 1, ..NONE },
                Budget {
                    losses: 2,
                    duplicates: 1,
                    early: 1,
                    ..NONE
                },
            ),
            ..Scope::new(name)
        });
    }
}
