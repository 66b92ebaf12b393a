//! Tests of the listpack: fixed images, and a model against `Vec`.

use super::image::MAX_GAP;
use super::*;
use crate::ds::size_class::size_class;
use proptest::prelude::*;
use proptest::sample::Index;

fn texts(list: &Listpack) -> Vec<Vec<u8>> {
    list.iter().map(|element| element.to_vec()).collect()
}

/// The image is valid, no other than one that was only pushed to at its end, and both directions agree with
/// the model.
fn check(list: &Listpack, model: &[Vec<u8>]) {
    assert_eq!(validate(list.as_bytes()), Some(()));
    assert_eq!(list.as_bytes().len(), list.byte_len());
    let built: Listpack = model.iter().map(Vec::as_slice).collect();
    assert_eq!(list.as_bytes(), built.as_bytes());
    assert_eq!(texts(list), model);
    let backwards: Vec<_> = list.iter_rev().map(|element| element.to_vec()).collect();
    assert!(backwards.iter().eq(model.iter().rev()));
    assert_eq!(list.len(), model.len());
    assert_eq!(list.is_empty(), model.is_empty());
}

/// Images that redis-server 7.0.15 wrote (`DUMP` of lists with these elements).
#[test]
fn images_are_as_redis_writes_them() {
    let hex = |list: &Listpack| {
        list.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let list: Listpack =
        [&b"hello"[..], b"1000", b"-1", b"70000", b"99999999999"].into_iter().collect();
    assert_eq!(
        hex(&list),
        "2300000005008568656c6c6f06c3e802dfff02f270110104f4ffe776481700000009ff"
    );
    let list: Listpack = [&[b'x'; 64][..], b"-5000", b"8388608"].into_iter().collect();
    let text = "78".repeat(64);
    assert_eq!(hex(&list), format!("540000000300e040{text}42f178ec03f30000800005ff"));
}

#[test]
fn integer_encodings_round_trip_at_their_bounds() {
    let edges = [0, 127, 128, 4095, 4096, 32767, 32768, 8_388_607, 8_388_608, 2_147_483_647];
    let mut values = vec![i64::MAX, i64::MIN, 2_147_483_648, -2_147_483_649];
    values.extend(edges.iter().flat_map(|&edge| [edge, -edge, -edge - 1]));
    let list: Listpack = values.iter().copied().collect();
    assert!(list.iter().eq(values.iter().map(|&value| Element::Int(value))));
    check(&list, &values.iter().map(|value| value.to_string().into_bytes()).collect::<Vec<_>>());
}

#[test]
fn string_encodings_round_trip_at_their_bounds() {
    let lengths = [0, 1, 63, 64, 125, 126, 127, 128, 4095, 4096, 16_376, 16_377, 16_378, 16_379];
    let far = [2_097_140, 2_097_145, 2_097_146, 2_097_147];
    let model: Vec<_> = lengths.iter().chain(&far).map(|&len| vec![b'x'; len]).collect();
    let list: Listpack = model.iter().map(Vec::as_slice).collect();
    check(&list, &model);
}

#[test]
fn only_canonical_integers_become_integers() {
    for text in [&b"+1"[..], b"01", b"-0", b" 1", b"1 ", b"1.0", b"9223372036854775808", b""] {
        assert_eq!(Element::classify(text), Element::Str(text));
    }
    assert_eq!(Element::classify(b"-9223372036854775808"), Element::Int(i64::MIN));
}

#[test]
fn corrupt_images_are_refused() {
    let list: Listpack = [&b"hello"[..], b"1000", b"99999999999", b""].into_iter().collect();
    let good = list.as_bytes().to_vec();
    assert!(Listpack::from_bytes(good.clone()).is_ok());
    for len in 0..good.len() {
        assert_eq!(Listpack::from_bytes(good[..len].to_vec()), Err(CorruptListpack));
    }
    // Every byte of this structure but the payloads is checked; payloads may be anything.
    for at in (0..HEADER).chain([HEADER, HEADER + 6, good.len() - 1]) {
        let mut bad = good.clone();
        bad[at] ^= 0x41;
        assert_eq!(Listpack::from_bytes(bad), Err(CorruptListpack), "byte {at}");
    }
}

#[test]
fn more_than_65534_entries_lose_their_count() {
    let mut list: Listpack = (0..65_534i64).map(|value| value % 100).collect();
    assert_eq!(list.header_count(), 65_534);
    list.push_back_int(1);
    list.push_back_int(2);
    assert_eq!((list.header_count(), list.len()), (UNKNOWN_COUNT, 65_536));
    let tail = list.split_off(65_530);
    assert_eq!((tail.len(), list.len()), (6, 65_530));
    let mut copy = list.clone();
    copy.append(&tail);
    assert_eq!(copy.len(), 65_536);
    assert_eq!(copy.get_at(-1), Some(Element::Int(2)));
}

#[test]
fn size_limits() {
    let list: Listpack = [b"abc".as_slice()].into_iter().collect();
    assert_eq!(list.byte_len(), 7 + Listpack::encoded_len(b"abc"));
    assert!(list.fits(10, 22) && !list.fits(11, 22));
    assert!(!list.fits(MAX_BYTES, usize::MAX) && !list.fits(usize::MAX, usize::MAX));
}

/// An eighth to spare, up to the allocator's next class; or what removals left, which is no more
/// than the image.
fn assert_modest(list: &Listpack) {
    let (len, capacity) = (list.byte_len(), list.capacity());
    let most = size_class(len + len / 8).max(2 * len).max(64);
    assert!(capacity <= most, "{capacity} bytes for {len}");
}

#[test]
fn spare_memory_is_modest() {
    let (mut back, mut front) = (Listpack::new(), Listpack::new());
    for value in 0..2000i64 {
        let text = value.to_string().repeat(3);
        back.push_back(text.as_bytes());
        front.push_front(text.as_bytes());
        let len = back.byte_len();
        assert!(back.capacity() <= size_class(len + len / 8));
        assert!(front.capacity() <= size_class(len + len / 8));
    }
    for mut list in [back, front] {
        let exact = list.clone();
        assert_eq!((exact.capacity(), &exact), (list.byte_len(), &list));
        list.remove_range_at(0, 1900);
        assert_modest(&list);
        list.push_front(1);
        list.shrink_to_fit();
        assert_eq!(list.capacity(), list.byte_len());
        list.remove_range_at(0, 101);
        assert!(list.is_empty() && list.capacity() <= 64);
    }
}

/// How often the bytes that stay, or those between them, were moved: each of `edits` must change
/// `list` at its ends alone. The first text that is `x` alone is watched.
fn moves(list: &mut Listpack, edits: impl Iterator<Item = fn(&mut Listpack)>) -> usize {
    let watched = |list: &Listpack| {
        let at = list.find(list.first().unwrap(), b"x", 0).unwrap().at();
        list.as_bytes()[at..].as_ptr()
    };
    let mut before = watched(list);
    edits.fold(0, |moves, edit| {
        edit(list);
        let now = watched(list);
        moves + usize::from(std::mem::replace(&mut before, now) != now)
    })
}

/// A listpack of about 8 KiB.
fn full() -> Listpack {
    (0..1000).map(|at| if at == 500 { b"x".as_slice() } else { b"member" }).collect()
}

const PUSH_FRONT: fn(&mut Listpack) = |list| list.push_front(b"member".as_slice());
const PUSH_BACK: fn(&mut Listpack) = |list| list.push_back(b"member".as_slice());
const POP_FRONT: fn(&mut Listpack) = |list| list.remove_range_at(0, 1);
const POP_BACK: fn(&mut Listpack) = |list| list.remove_range_at(-1, 1);

#[test]
fn edits_at_the_ends_seldom_move_the_rest() {
    let pushes = [PUSH_FRONT, PUSH_BACK].into_iter().cycle().take(2000);
    assert!(moves(&mut full(), std::iter::repeat_n(PUSH_FRONT, 1000)) < 12);
    assert!(moves(&mut full(), pushes) < 40);
    assert!(moves(&mut full(), std::iter::repeat_n(POP_FRONT, 500)) < 3);
    assert!(moves(&mut full(), std::iter::repeat_n(POP_BACK, 499)) < 3);
    for pair in [[PUSH_FRONT, POP_FRONT], [PUSH_BACK, POP_BACK]] {
        assert!(moves(&mut full(), pair.into_iter().cycle().take(2000)) < 3);
    }
}

#[test]
fn queues_seldom_move_what_waits() {
    for (push, pop) in [(PUSH_FRONT, -1), (PUSH_BACK, 0)] {
        let (mut list, mut moves) = (full(), 0);
        for _ in 0..5000 {
            // The entry in the middle, which both edits leave there.
            let address = |list: &Listpack, index| {
                let at = list.seek(index).unwrap().at();
                list.as_bytes()[at..].as_ptr()
            };
            let before = address(&list, 500);
            push(&mut list);
            list.remove_range_at(pop, 1);
            let now = address(&list, if pop == 0 { 499 } else { 501 });
            moves += usize::from(before != now);
        }
        assert!(moves < 200, "{moves}");
    }
}

#[test]
fn a_large_listpack_is_taken_from_the_front() {
    let mut model: Vec<_> = (0..3000).map(|at| format!("{at:0100}").into_bytes()).collect();
    let mut list: Listpack = model.iter().map(Vec::as_slice).collect();
    assert!(list.byte_len() > 4 * MAX_GAP);
    for count in [1].repeat(1400).into_iter().chain([700, 3, 200, 690]) {
        list.remove_range_at(0, count);
        model.drain(..count);
        if model.len() % 50 == 7 {
            list.push_front(&*vec![b'y'; 100]);
            model.insert(0, vec![b'y'; 100]);
            check(&list, &model);
        }
        assert_modest(&list);
    }
    let huge = vec![b'z'; MAX_GAP + 1];
    list.push_front(&*huge);
    model.insert(0, huge);
    check(&list, &model);
}

#[test]
fn pairs_are_found_and_edited() {
    let mut list = Listpack::new();
    list.push_pair(&b"a"[..], &b"b"[..]);
    list.push_pair(&b"b"[..], 5);
    let (field, value) = list.find_pair(b"b").unwrap();
    assert_eq!((list.get(field), list.get(value)), (Element::Str(b"b"), Element::Int(5)));
    assert_eq!(list.find_pair(b"5"), None);
    list.insert_pair_before(field, 7, 8);
    assert_eq!(texts(&list), [&b"a"[..], b"b", b"7", b"8", b"b", b"5"]);
    assert_eq!(list.pairs().count(), 3);
    let (field, _) = list.find_pair(b"7").unwrap();
    let after = list.remove_pair(field).unwrap();
    assert!(list.get(after).eq_bytes(b"b"));
    let (field, _) = list.find_pair(b"b").unwrap();
    assert_eq!(list.remove_pair(field), None);
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        any::<i64>().prop_map(|value| value.to_string().into_bytes()),
        (-5000i64..5000).prop_map(|value| value.to_string().into_bytes()),
        proptest::collection::vec(any::<u8>(), 0..8),
        (0usize..5000).prop_map(|len| vec![b'x'; len]),
    ]
}

/// An entry's encoding with its payload, which need not be the shortest for the value: files may
/// hold such.
fn raw_entry() -> impl Strategy<Value = Vec<u8>> {
    let names = prop_oneof![
        3 => "[ab]{0,2}",
        3 => "member:0000[01]{2}",
        3 => "[ab]:a common end",
        1 => "[01]{6,10}",
        1 => "-?[1-9][0-9]{0,4}",
        1 => "n{50,140}",
    ];
    let widths = prop_oneof![4 => Just(0), 1 => 1..3u8];
    let text = (names, widths).prop_map(|(text, width)| {
        let (len, mut entry) = (text.len() as u32, Vec::new());
        match width {
            0 if len < 64 => entry.push(0x80 | len as u8),
            0 | 1 => entry.extend([0xE0, len as u8]),
            _ => {
                entry.push(0xF0);
                entry.extend(len.to_le_bytes());
            }
        }
        entry.extend_from_slice(text.as_bytes());
        entry
    });
    let int = (prop_oneof![0..140i64, -5000..5000i64, any::<i64>()], 0..4usize).prop_map(
        |(value, width)| {
            let (head, len) = int_head(value);
            let (code, width) = [(0xF1, 2), (0xF2, 3), (0xF3, 4), (0xF4, 8)][width];
            let bytes = value.to_le_bytes();
            let fits = value >> (8 * width as u32 - 1) == value >> 63;
            if fits { [&[code], &bytes[..width]].concat() } else { head[..len].to_vec() }
        },
    );
    prop_oneof![3 => text, 1 => int]
}

/// The listpack of such entries.
fn image_of(entries: &[Vec<u8>]) -> Listpack {
    let mut image = vec![0; HEADER];
    for entry in entries {
        image.extend_from_slice(entry);
        let (back, size) = back_length(entry.len());
        image.extend_from_slice(&back[..size]);
    }
    image.push(END);
    let total = image.len() as u32;
    image[..4].copy_from_slice(&total.to_le_bytes());
    image[4..HEADER].copy_from_slice(&(entries.len() as u16).to_le_bytes());
    Listpack::from_bytes(image).unwrap()
}

/// What is looked for: the text of an entry, the bytes of the image anywhere, or another text.
#[derive(Clone, Debug)]
enum Wanted {
    Entry(Index),
    Bytes(Index, usize),
    Text(Vec<u8>),
}

impl Wanted {
    fn of(&self, list: &Listpack) -> Vec<u8> {
        match self {
            Self::Entry(index) => index.get(&texts(list)).clone(),
            Self::Bytes(index, len) => {
                let bytes = list.as_bytes();
                let start = index.index(bytes.len());
                bytes[start..bytes.len().min(start + len)].to_vec()
            }
            Self::Text(text) => text.clone(),
        }
    }
}

fn wanted() -> impl Strategy<Value = Wanted> {
    prop_oneof![
        3 => any::<Index>().prop_map(Wanted::Entry),
        2 => (any::<Index>(), 0usize..20).prop_map(|(index, len)| Wanted::Bytes(index, len)),
        1 => text().prop_map(Wanted::Text),
    ]
}

#[derive(Clone, Debug)]
enum Edit {
    Back(Vec<u8>),
    BackAll(Vec<Vec<u8>>),
    Front(Vec<u8>),
    Before(usize, Vec<u8>),
    After(usize, Vec<u8>),
    Replace(usize, Vec<u8>),
    Remove(usize, usize),
    FrontAll(Vec<Vec<u8>>),
    PopFront(usize),
    PopBack(usize),
    Split(usize),
    AppendSelf,
    Copy,
    Shrink,
}

fn edit() -> impl Strategy<Value = Edit> {
    let at = any::<Index>().prop_map(|index| index.index(1000));
    prop_oneof![
        4 => text().prop_map(Edit::Back),
        2 => proptest::collection::vec(text(), 0..5).prop_map(Edit::BackAll),
        2 => text().prop_map(Edit::Front),
        2 => (at.clone(), text()).prop_map(|(at, text)| Edit::Before(at, text)),
        2 => (at.clone(), text()).prop_map(|(at, text)| Edit::After(at, text)),
        2 => (at.clone(), text()).prop_map(|(at, text)| Edit::Replace(at, text)),
        2 => (at.clone(), 0usize..4).prop_map(|(at, count)| Edit::Remove(at, count)),
        2 => proptest::collection::vec(text(), 0..9).prop_map(Edit::FrontAll),
        2 => (0usize..4).prop_map(Edit::PopFront),
        2 => (0usize..4).prop_map(Edit::PopBack),
        1 => at.prop_map(Edit::Split),
        1 => Just(Edit::AppendSelf),
        1 => Just(Edit::Copy),
        1 => Just(Edit::Shrink),
    ]
}

fn apply(list: &mut Listpack, model: &mut Vec<Vec<u8>>, edit: Edit) {
    let pick = |at: usize, list: &Listpack| {
        let index = at % list.len().max(1);
        list.seek(index as i64).map(|pos| (index, pos))
    };
    match edit {
        Edit::Back(text) => {
            list.push_back(&*text);
            model.push(text);
        }
        Edit::BackAll(texts) => {
            list.push_all(texts.iter().map(|text| Element::classify(text)));
            model.extend(texts);
        }
        Edit::Front(text) => {
            list.push_front(&*text);
            model.insert(0, text);
        }
        Edit::Before(at, text) => {
            let Some((index, pos)) = pick(at, list) else { return };
            let pos = list.insert_before(pos, &*text);
            assert!(list.get(pos).eq_bytes(&text));
            model.insert(index, text);
        }
        Edit::After(at, text) => {
            let Some((index, pos)) = pick(at, list) else { return };
            let pos = list.insert_after(pos, &*text);
            assert!(list.get(pos).eq_bytes(&text));
            model.insert(index + 1, text);
        }
        Edit::Replace(at, text) => {
            let Some((index, pos)) = pick(at, list) else { return };
            assert_eq!(list.replace(pos, &*text), pos);
            model[index] = text;
        }
        Edit::Remove(at, count) => {
            let Some((index, pos)) = pick(at, list) else { return };
            let next = list.remove_range(pos, count);
            model.drain(index..model.len().min(index + count));
            assert_eq!(next.map(|pos| list.get(pos).to_vec()).as_ref(), model.get(index));
        }
        Edit::FrontAll(texts) => {
            for text in texts {
                list.push_front(&*text);
                model.insert(0, text);
            }
        }
        Edit::PopFront(count) => {
            list.remove_range_at(0, count);
            model.drain(..count.min(model.len()));
        }
        Edit::PopBack(count) => {
            let count = count.min(model.len());
            list.remove_range_at(-(count as i64), count);
            model.truncate(model.len() - count);
        }
        Edit::Copy => {
            *list = list.clone();
            assert_eq!(list.capacity(), list.byte_len());
        }
        Edit::Shrink => {
            list.shrink_to_fit();
            assert_eq!(list.capacity(), list.byte_len());
        }
        Edit::Split(at) => {
            let index = at % (list.len() + 1);
            let tail = list.split_off(index);
            check(&tail, &model.split_off(index));
        }
        Edit::AppendSelf if model.len() < 100 => {
            list.append(&list.clone());
            model.extend_from_within(..);
        }
        Edit::AppendSelf => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn edits_agree_with_a_vec(edits in proptest::collection::vec(edit(), 0..60)) {
        let (mut list, mut model) = (Listpack::new(), Vec::new());
        for edit in edits {
            apply(&mut list, &mut model, edit);
            check(&list, &model);
        }
    }

    #[test]
    fn short_entries_agree_with_a_vec(edits in proptest::collection::vec((0..8u8, 0..60usize), 0..300)) {
        let (mut list, mut model) = (Listpack::new(), Vec::new());
        for (kind, at) in edits {
            let text = "x".repeat(at % 13).into_bytes();
            apply(&mut list, &mut model, match kind {
                0 | 1 => Edit::Front(text),
                2 => Edit::Back(text),
                3 | 4 => Edit::Before(at, text),
                5 => Edit::PopFront(at % 3),
                6 => Edit::PopBack(at % 3),
                _ => Edit::Remove(at, 1),
            });
            check(&list, &model);
            assert_modest(&list);
        }
    }

    #[test]
    fn find_and_seek_agree_with_a_vec(model in proptest::collection::vec("[0-2a]{1,2}", 1..30),
                                      needle in "[0-2a]{1,2}", skip in 0usize..3, index in -35i64..35) {
        let list: Listpack = model.iter().map(|text| text.as_bytes()).collect();
        let found = list.find(list.first().unwrap(), needle.as_bytes(), skip);
        let expected = model.iter().step_by(skip + 1).position(|text| *text == needle);
        prop_assert_eq!(found, expected.and_then(|at| list.seek((at * (skip + 1)) as i64)));
        let wanted = if index < 0 { model.len() as i64 + index } else { index };
        let wanted = usize::try_from(wanted).ok().and_then(|at| model.get(at));
        prop_assert_eq!(list.get_at(index).map(|e| e.to_vec()), wanted.map(|t| t.clone().into_bytes()));
    }

    #[test]
    fn arbitrary_images_never_panic(mut image in proptest::collection::vec(any::<u8>(), 0..60)) {
        if image.len() >= 7 {
            let (len, last) = (image.len() as u32, image.len() - 1);
            image[..4].copy_from_slice(&len.to_le_bytes());
            image[4..6].copy_from_slice(&[255, 255]);
            image[last] = 255;
        }
        if let Ok(list) = Listpack::from_bytes(image) {
            prop_assert_eq!(list.iter().count(), list.iter_rev().count());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn find_agrees_with_a_naive_search(entries in proptest::collection::vec(raw_entry(), 1..40),
                                       wanted in wanted(), start in any::<Index>(), skip in 0usize..3) {
        let list = image_of(&entries);
        let needle = wanted.of(&list);
        let positions: Vec<_> = list.positions(list.first()).collect();
        let from = start.index(positions.len());
        let mut looked_at = positions[from..].iter().step_by(skip + 1).copied();
        let naive = looked_at.find(|&pos| list.get(pos).eq_bytes(&needle));
        prop_assert_eq!(list.find(positions[from], &needle, skip), naive);
    }
}
