//! The view against a plain map for each table.

use super::world::World;
use crate::memtable::Stage;
use crate::tables::{Family, Heads, Table, TableKey, Tables, Visit, visit_all};
use crate::view::View;
use durable_session::store::Order;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::Bound;

/// A generator of pseudo-random numbers (xorshift), and the last session number in use.
pub(super) struct Rng(u64, u64);

impl Rng {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1, 1)
    }

    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % n
    }

    pub(super) fn byte(&mut self) -> u8 {
        self.below(256).to_le_bytes()[0]
    }

    /// A key from a small set.
    fn key<T: Table>(&mut self) -> T::Key {
        let mut bytes = Vec::new();
        let number = self.1.saturating_sub(self.below(4)).max(1);
        let (seq, offset) = (self.below(12), self.below(3));
        match T::NAME.rsplit('.').next() {
            Some("ids" | "lists") => {
                let name = &b"abcdefghij"[..][usize::try_from(self.below(8)).unwrap()..];
                let name = &name[..usize::try_from(self.below(3)).unwrap()];
                bytes.extend_from_slice(&u16::try_from(name.len()).unwrap().to_le_bytes());
                bytes.extend_from_slice(name);
            }
            Some("heads") => bytes.extend_from_slice(&number.to_le_bytes()),
            Some("chunks") => {
                bytes.extend([number, seq, offset].map(u64::to_le_bytes).as_flattened());
            }
            _ => bytes.extend([number, seq].map(u64::to_le_bytes).as_flattened()),
        }
        let mut rest = &bytes[..];
        let key = T::Key::read(&mut rest).unwrap();
        assert!(rest.is_empty());
        key
    }

    fn bound<T: Table>(&mut self) -> Bound<T::Key> {
        match self.below(4) {
            0 => Bound::Unbounded,
            1 => Bound::Excluded(self.key::<T>()),
            _ => Bound::Included(self.key::<T>()),
        }
    }
}

struct Model;

impl Family for Model {
    type Of<T: Table> = BTreeMap<T::Key, Vec<u8>>;
}

/// Makes a copy of a model.
fn copied(from: &Tables<Model>) -> Tables<Model> {
    struct Copy<'a>(&'a Tables<Model>, Tables<Model>);

    impl Visit for Copy<'_> {
        type Error = Infallible;

        fn table<T: Table>(&mut self) -> Result<(), Infallible> {
            *T::of_mut(&mut self.1) = T::of(self.0).clone();
            Ok(())
        }
    }

    let mut copy = Copy(from, Tables::default());
    let Ok(()) = visit_all(&mut copy);
    copy.1
}

/// Makes edits in each table.
struct Edit<'a> {
    rng: &'a mut Rng,
    stage: &'a mut Stage,
    model: &'a mut Tables<Model>,
}

impl Visit for Edit<'_> {
    type Error = Infallible;

    fn table<T: Table>(&mut self) -> Result<(), Infallible> {
        for _ in 0..self.rng.below(4) {
            let key = self.rng.key::<T>();
            let model = T::of_mut(self.model);
            match self.rng.below(8) {
                0 => {
                    model.remove(&key);
                    self.stage.remove::<T>(key.clone(), &key);
                }
                1 => {
                    let other = self.rng.key::<T>();
                    let (first, last) = if key <= other { (key, other) } else { (other, key) };
                    model.retain(|key, _| *key < first || *key > last);
                    self.stage.remove::<T>(first, &last);
                }
                _ => {
                    let len = self.rng.below(3) * self.rng.below(40);
                    let row: Vec<u8> = (0..len).map(|_| self.rng.byte()).collect();
                    self.stage.put::<T>(key.clone(), |out| out.extend_from_slice(&row));
                    model.insert(key, row);
                }
            }
        }
        Ok(())
    }
}

/// Compares each table with its model.
struct Compare<'a> {
    rng: &'a mut Rng,
    view: &'a View<'a>,
    model: &'a Tables<Model>,
}

impl Visit for Compare<'_> {
    type Error = Infallible;

    fn table<T: Table>(&mut self) -> Result<(), Infallible> {
        let model = T::of(self.model);
        self.walk::<T>((Bound::Unbounded, Bound::Unbounded));
        for _ in 0..3 {
            let range = (self.rng.bound::<T>(), self.rng.bound::<T>());
            self.walk::<T>(range);
            let key = self.rng.key::<T>();
            let found = self.view.get::<T>(&key).unwrap();
            assert_eq!(found.as_deref(), model.get(&key).map(|row| &row[..]), "{key:?}");
            assert_eq!(self.view.has::<T>(&key).unwrap(), model.contains_key(&key), "{key:?}");
        }
        assert!(self.view.at_most::<T>().unwrap() >= model.len() as u64);
        Ok(())
    }
}

impl Compare<'_> {
    fn walk<T: Table>(&mut self, range: (Bound<T::Key>, Bound<T::Key>)) {
        let model = T::of(self.model);
        let expected: Vec<_> = model
            .iter()
            .filter(|(key, _)| std::ops::RangeBounds::contains(&range, *key))
            .map(|(key, row)| (key.clone(), row.clone()))
            .collect();
        for order in [Order::Forward, Order::Backward] {
            let mut found = Vec::new();
            let mut walk = self.view.walk::<T>(range.clone(), order);
            while let Some(entry) = walk.next().unwrap() {
                let len = entry.len();
                // A row that nobody reads must not disturb those after it.
                if self.rng.below(4) == 0 {
                    let row = model.get(&entry.key).filter(|row| row.len() == len);
                    found.push((entry.key, row.cloned().unwrap_or_default()));
                } else {
                    let (key, row) = entry.read().unwrap();
                    assert_eq!(row.len(), len);
                    found.push((key, row.to_vec()));
                }
            }
            assert!(walk.next().unwrap().is_none());
            if order == Order::Backward {
                found.reverse();
            }
            assert_eq!(found, expected, "{} {range:?} {order:?}", T::NAME);
        }
    }
}

fn compare(rng: &mut Rng, view: &View<'_>, model: &Tables<Model>) {
    let Ok(()) = visit_all(&mut Compare { rng, view, model });
}

fn run(seed: u64, steps: usize) {
    let mut rng = Rng::new(seed);
    let mut world = World::new();
    let mut model = Tables::<Model>::default();
    let mut kept: Vec<(View<'static>, Tables<Model>)> = Vec::new();
    for _ in 0..steps {
        match rng.below(16) {
            0..8 => world.stage(|stage, view| {
                // Rows of a session come after its head row.
                if view.at_most::<Heads>().unwrap() == 0 || rng.below(6) == 0 {
                    rng.1 += 1;
                    stage.put::<Heads>(rng.1, |_| {});
                    Heads::of_mut(&mut model).insert(rng.1, Vec::new());
                }
                for _ in 0..=rng.below(2) {
                    let Ok(()) = visit_all(&mut Edit { rng: &mut rng, stage, model: &mut model });
                }
                if rng.below(4) == 0 {
                    compare(&mut rng, view, &model);
                }
            }),
            8 => world.freeze(),
            9..11 => {
                let slices = usize::try_from(rng.below(6)).unwrap();
                world.flush(100, slices);
            }
            11 => {
                world.flush(300, usize::MAX);
            }
            12 => {
                kept.push((world.view(), copied(&model)));
                if kept.len() > 3 {
                    kept.remove(0);
                }
            }
            13 => kept.clear(),
            14 => {
                for (view, model) in &kept {
                    compare(&mut rng, view, model);
                }
            }
            _ => world.crash(),
        }
        if rng.below(3) == 0 {
            compare(&mut rng, &world.view(), &model);
        }
    }
    world.flush_all();
    compare(&mut rng, &world.view(), &model);
    for (view, model) in &kept {
        compare(&mut rng, view, model);
    }
}

#[test]
fn the_view_is_what_the_edits_made_of_the_tables_at_every_moment() {
    for seed in 1..=16 {
        run(seed, 120);
    }
}
