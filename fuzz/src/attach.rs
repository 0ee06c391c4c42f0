//! Memory in which an engine has lived and that somebody has damaged, and the engine that takes it over.

mod damage;
mod scene;

use localack_core::{AttachReport, Engine, FlowConfig, FlowInfo, FlowState};

use crate::input::Input;
use crate::life::{Life, config, policy};
use crate::operation::Operation;
use damage::Damage;
use scene::{BLOCKS, FLOWS, MARK, SCENES, SEAL, Scene, cut, is_derived};

/// Changes to the memory of one input, at most.
const MOST_DAMAGE: u8 = 15;
/// Operations after it.
const MOST_OPERATIONS: usize = 64;

/// Damages what an engine has left as `octets` say, lets another take it over, and goes on.
///
/// The first octet chooses the scene; the lowest bits of the second one say how often it is damaged, and its
/// highest bit, whether the seal is, too. Damage follows, and then what happens next; the highest bits of an
/// operation say which connection it is about.
///
/// # Panics
/// If the memory is refused although its seal is whole, or is touched although it is refused; if the engine
/// does not come to rest, makes a wrong packet or acknowledges what its books do not hold; if another
/// takeover finds anything else; or if damage reaches whom it should not: flows that are not written to when
/// their engine stops, and all of them if only what is made anew is damaged.
pub fn attach(octets: &[u8]) {
    let mut input = Input(octets);
    let Some([scene, head]) = input.array() else {
        return;
    };
    let scene = &SCENES[usize::from(scene) % SCENES.len()];
    let mut memory = scene.memory.clone();
    for _ in 0..head & MOST_DAMAGE {
        let Some(damage) = Damage::read(&mut input) else {
            break;
        };
        damage.befalls(bytemuck::cast_slice_mut(&mut memory));
    }
    if head & 0x80 == 0 {
        mend_seal(&mut memory, scene);
    }
    let extent = Extent::of(&memory, scene);
    let was = memory.clone();
    let Some(report) = take_over_once(&mut memory, scene) else {
        assert!(!extent.is_sealed, "refused, and its seal is whole");
        assert!(memory == was, "memory that was refused has changed");
        return;
    };
    let settled = settle(&mut memory, scene, report);
    let engine = succeed(&mut memory, scene, &settled);
    extent.check(&report, &scene.flows, engine.flows().collect());
    let honest = extent.only_mark || extent.only_derived;
    live(engine, scene, honest, input);
}

/// Makes the seal whole, all but its mark.
fn mend_seal(memory: &mut [u64], scene: &Scene) {
    let memory: &mut [u8] = bytemuck::cast_slice_mut(memory);
    let seal: &[u8] = bytemuck::cast_slice(&scene.memory);
    memory[..MARK].copy_from_slice(&seal[..MARK]);
    memory[MARK + 4..SEAL].copy_from_slice(&seal[MARK + 4..SEAL]);
}

/// Takes the memory over, and lets go of it.
fn take_over_once(memory: &mut [u64], scene: &Scene) -> Option<AttachReport> {
    let attached = Engine::attach(cut(memory), config(), policy(scene.setup));
    let (engine, report) = attached.ok()?;
    let found = |state: &dyn Fn(FlowState) -> bool| {
        let count = engine.flows().filter(|flow| state(flow.state)).count();
        u32::try_from(count).expect("few")
    };
    let open = found(&|state| matches!(state, FlowState::Open | FlowState::Resetting));
    let young = found(&|state| matches!(state, FlowState::SynSeen | FlowState::SynAckSeen));
    assert_eq!((report.flows, report.handshakes), (open, young));
    assert!(report.ruined <= found(&|state| state == FlowState::Tombstone));
    Some(report)
}

/// Takes the memory over until nothing more comes to light: how many slots were ever used is believed, but for
/// one more that is in use, so that damage to that number shows slot by slot.
fn settle(memory: &mut [u64], scene: &Scene, first: AttachReport) -> AttachReport {
    (0..FLOWS).fold(first, |_, _| {
        let report = take_over_once(memory, scene).expect("what was taken over can be");
        assert!(!report.interrupted, "nobody was interrupted: {report:?}");
        report
    })
}

/// Takes over what was just taken over, in which nothing has changed since.
fn succeed<'m>(
    memory: &'m mut [u64],
    scene: &Scene,
    first: &AttachReport,
) -> Engine<'m, FlowConfig> {
    let storage = cut(memory);
    let (engine, second) =
        Engine::attach(storage, config(), policy(scene.setup)).expect("what was taken over can be");
    assert!(!second.interrupted, "nobody was interrupted: {second:?}");
    assert_eq!(second.forgotten, 0, "{first:?} {second:?}");
    let counts = |report: &AttachReport| {
        let AttachReport {
            flows,
            handshakes,
            ruined,
            octets_held,
            ..
        } = *report;
        (flows, handshakes, ruined, octets_held)
    };
    let flows: Vec<_> = engine.flows().collect();
    assert_eq!(counts(first), counts(&second), "{flows:#?}");
    let flows: Vec<_> = engine.flows().collect();
    let (storage, config, policy) = engine.into_parts();
    let (engine, third) = Engine::attach(storage, config, policy).expect("once more");
    assert_eq!(second, third);
    assert!(engine.flows().eq(flows), "a takeover that changes flows");
    engine
}

/// How far damage reaches.
struct Extent {
    is_sealed: bool,
    /// Nothing is wrong but the mark.
    only_mark: bool,
    /// Nothing is wrong but what is made anew.
    only_derived: bool,
    mark: u32,
}

impl Extent {
    fn of(memory: &[u64], scene: &Scene) -> Self {
        let (old, new): (&[u8], &[u8]) = (
            bytemuck::cast_slice(&scene.memory),
            bytemuck::cast_slice(memory),
        );
        let differs = |at: &usize| old[*at] != new[*at];
        let in_mark = |at: usize| (MARK..MARK + 4).contains(&at);
        let mut places = (0..old.len()).filter(differs).peekable();
        let is_sealed = places.peek().is_none_or(|&at| at >= SEAL || in_mark(at))
            && (0..SEAL).filter(differs).all(in_mark);
        let places: Vec<_> = places.collect();
        let mark = new[MARK..].first_chunk().expect("a number");
        Self {
            is_sealed,
            only_mark: places.iter().all(|&at| in_mark(at)),
            only_derived: places.iter().all(|&at| is_derived(at)),
            mark: u32::from_le_bytes(*mark),
        }
    }

    /// Whom it may not reach is as before.
    fn check(&self, report: &AttachReport, before: &[FlowInfo], after: Vec<FlowInfo>) {
        assert_eq!(report.interrupted, self.mark != 0);
        if !self.only_mark && !self.only_derived {
            return;
        }
        let spared = |flow: &&FlowInfo| flow.id.slot().wrapping_add(1) != self.mark;
        for flow in before.iter().filter(spared) {
            let found = after.iter().find(|other| other.id == flow.id);
            assert_eq!(found, Some(flow), "a flow that nobody has touched");
        }
        let touched = before.len() - before.iter().filter(spared).count();
        let touched = u32::try_from(touched).expect("few");
        assert!(
            report.ruined + report.forgotten <= touched,
            "{report:?}: {before:#?}"
        );
    }
}

/// Life goes on.
///
/// Whoever was not touched is as honest as before.
fn live(engine: Engine<'_, FlowConfig>, scene: &Scene, honest: bool, mut input: Input<'_>) {
    let mut life = Life::new(engine, scene.hosts.clone(), BLOCKS);
    life.now = scene.now;
    (life.honest, life.is_heir) = (honest, true);
    life.rest();
    life.audit();
    for _ in 0..MOST_OPERATIONS {
        let about = input.0.first().map_or(0, |head| head >> 6);
        let Some(operation) = Operation::read(&mut input) else {
            break;
        };
        life.about = usize::from(about) % FLOWS;
        life.happens(operation);
    }
    // Whatever is owed, somebody is told of it some day.
    life.happens(Operation::Full(0));
    for _ in 0..2 {
        life.happens(Operation::Wait {
            log: 29,
            steps: 3,
            jump: false,
        });
    }
}

/// Seeds: name and octets.
pub(crate) fn seeds() -> Vec<(String, Vec<u8>)> {
    let mark = |slot: u8| Damage::Mark(slot + 1);
    let whole = u16::MAX;
    let stories: [(&str, u8, Vec<Damage>); 16] = [
        ("whole", 0, vec![]),
        ("mark-of-one", 0, vec![mark(0)]),
        ("mark-behind-holes", 1, vec![mark(1)]),
        ("mark-after-losses", 2, vec![mark(0)]),
        ("mark-while-closing", 3, vec![mark(1)]),
        ("mark-while-draining", 4, vec![mark(0)]),
        ("mark-in-a-handshake", 5, vec![mark(2)]),
        ("mark-in-a-crowd", 6, vec![mark(2)]),
        ("mark-on-a-reset", 7, vec![mark(0)]),
        ("mark-of-nobody", 7, vec![mark(200)]),
        ("zeroes", 1, vec![Damage::Fill(0, whole, 0)]),
        ("ones", 2, vec![Damage::Fill(0, whole, 0xff)]),
        ("noise", 3, vec![Damage::Noise(0, whole, 1)]),
        (
            "noise-in-slots",
            0,
            vec![Damage::Noise(2_500, 9_000, 1), mark(1)],
        ),
        (
            "numbers",
            6,
            vec![Damage::Sum(4_000, 100), Damage::Number(5_000, 7)],
        ),
        (
            "copies",
            1,
            vec![
                Damage::Copy(4_096, 5_120, 1_024),
                Damage::Swap(8_000, 9_000, 64),
            ],
        ),
    ];
    // Both hosts of each connection speak, and time passes.
    let speak = |about: u8| [about << 6, 0, about << 6 | 0x08, 0, 0x02, 20];
    let afterwards: Vec<u8> = (0..3).flat_map(speak).collect();
    stories
        .into_iter()
        .map(|(name, scene, damages)| {
            let count = u8::try_from(damages.len()).expect("few");
            let mut octets = vec![scene, count];
            for damage in damages {
                damage.write(&mut octets);
            }
            octets.extend(&afterwards);
            (name.to_owned(), octets)
        })
        .collect()
}
