//! The process that is cut, instruction by instruction, and what its memory looks like.

use std::io::{BufRead as _, BufReader, IoSliceMut};
use std::process::{Child, Command, Stdio};

use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::hosts::CONNECTIONS;
use super::life::{ANNOUNCEMENT, GEOMETRY};

/// What a process would leave if it was killed now, and what has left it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Image {
    pub(crate) memory: Vec<u64>,
    /// As in [`Told`](super::life::Told).
    pub(crate) told: [u32; 4 * CONNECTIONS],
}

/// A process that stops before and after everything that happens to its engine.
#[derive(Debug)]
pub(crate) struct Tracee {
    process: Child,
    thread: Pid,
    memory: usize,
    told: usize,
}

/// Why the process has stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stop {
    /// One instruction is done.
    Step,
    /// It has stopped itself.
    Itself,
    /// It has ended.
    End,
}

impl Tracee {
    /// Starts the test of this name, of this program, which is to be traced.
    pub(crate) fn start(test: &str) -> Self {
        let program = std::env::current_exe().expect("this program");
        let mut process = Command::new(program)
            .args([
                test,
                "--exact",
                "--ignored",
                "--nocapture",
                "--test-threads=1",
            ])
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("another process");
        let output = BufReader::new(process.stdout.take().expect("piped"));
        let numbers: Vec<usize> = output
            .lines()
            .map(|line| line.expect("text"))
            .find_map(|line| line.strip_prefix(ANNOUNCEMENT).map(str::to_owned))
            .expect("it says where things are")
            .split_whitespace()
            .map(|number| number.parse().expect("a number"))
            .collect();
        let tracee = Self {
            process,
            thread: Pid::from_raw(i32::try_from(numbers[0]).expect("a thread")),
            memory: numbers[1],
            told: numbers[2],
        };
        assert_eq!(tracee.wait(), Stop::Itself);
        ptrace::setoptions(tracee.thread, ptrace::Options::PTRACE_O_EXITKILL).expect("traced");
        tracee
    }

    fn wait(&self) -> Stop {
        match waitpid(self.thread, Some(WaitPidFlag::__WALL)).expect("it is traced") {
            WaitStatus::Stopped(_, Signal::SIGTRAP) => Stop::Step,
            WaitStatus::Stopped(_, Signal::SIGSTOP) => Stop::Itself,
            WaitStatus::Exited(..) => Stop::End,
            other => panic!("not what was to happen: {other:?}"),
        }
    }

    /// Lets it run until it stops itself.
    pub(crate) fn run(&self) -> Stop {
        ptrace::cont(self.thread, None).expect("it is stopped");
        self.wait()
    }

    /// Lets it do one instruction.
    pub(crate) fn step(&self) -> Stop {
        ptrace::step(self.thread, None).expect("it is stopped");
        self.wait()
    }

    /// What is there now.
    pub(crate) fn look(&self, image: &mut Image) {
        let memory: &mut [u8] = bytemuck::cast_slice_mut(&mut image.memory);
        let told: &mut [u8] = bytemuck::cast_slice_mut(&mut image.told);
        let there = [(self.memory, memory.len()), (self.told, told.len())];
        let there = there.map(|(base, len)| RemoteIoVec { base, len });
        let total = memory.len() + told.len();
        let mut here = [IoSliceMut::new(memory), IoSliceMut::new(told)];
        let read = process_vm_readv(self.thread, &mut here, &there).expect("it is there");
        assert_eq!(read, total);
    }
}

impl Image {
    pub(crate) fn empty() -> Self {
        Self {
            memory: vec![0; GEOMETRY.octets().expect("a small engine") / 8],
            told: [0; 4 * CONNECTIONS],
        }
    }
}

impl Drop for Tracee {
    fn drop(&mut self) {
        // It is of no more use, however this has ended.
        let _ = self.process.kill();
        let _ = waitpid(self.thread, Some(WaitPidFlag::__WALL));
        let _ = self.process.wait();
    }
}
