//! The evaluation of a predicate over the rows of a batch.
//!
//! Every condition becomes two bitmasks, "certainly true" and "certainly false"; what is in neither is
//! unknown. That makes SQL's three-valued logic plain word arithmetic:
//!
//! | | true | false |
//! |---|---|---|
//! | `a AND b` | `a.true & b.true` | `a.false \| b.false` |
//! | `a OR b` | `a.true \| b.true` | `a.false & b.false` |
//! | `NOT a` | `a.false` | `a.true` |

use std::borrow::Cow;
use std::cmp::Ordering;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::buffer::{BooleanBuffer, Buffer, ScalarBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType,
};

use super::kernels::{self, Lane, pack};
use super::literal::{Base, Cmp, Set, Test};
use super::{Node, Op, Predicate};
use crate::{Error, Result};

/// Lists up to this long are compared value by value with kernels, longer ones searched.
const KERNEL_LIST_MAX: usize = 32;

impl Predicate {
    /// The rows for which the predicate is certainly true. Column `i` of `rows` is column `columns[i]`
    /// of the table's Arrow schema; every one of [`Predicate::columns`] must be there.
    pub fn select(&self, rows: &RecordBatch, columns: &[usize]) -> Result<BooleanBuffer> {
        let batch = Batch { rows, columns };
        let mask = batch.evaluate(&self.root)?;
        Ok(BooleanBuffer::new(Buffer::from_vec(mask.yes), 0, rows.num_rows()))
    }
}

/// Bits past the last row are zero in both.
struct Mask {
    yes: Vec<u64>,
    no: Vec<u64>,
}

impl Mask {
    fn not(self) -> Self {
        Self { yes: self.no, no: self.yes }
    }

    fn and(mut self, other: &Self) -> Self {
        zip(&mut self.yes, &other.yes, |a, b| a & b);
        zip(&mut self.no, &other.no, |a, b| a | b);
        self
    }
}

fn zip(words: &mut [u64], others: &[u64], combine: impl Fn(u64, u64) -> u64) {
    words.iter_mut().zip(others).for_each(|(word, &other)| *word = combine(*word, other));
}

struct Batch<'a> {
    rows: &'a RecordBatch,
    columns: &'a [usize],
}

impl Batch<'_> {
    fn evaluate(&self, node: &Node) -> Result<Mask> {
        match node {
            Node::Constant(answer) => Ok(match answer {
                Some(true) => Mask { yes: self.all(), no: self.none() },
                Some(false) => Mask { yes: self.none(), no: self.all() },
                None => Mask { yes: self.none(), no: self.none() },
            }),
            Node::IsNull { column } => {
                let no = self.valid(self.column(*column)?.as_ref());
                let mut yes = self.all();
                zip(&mut yes, &no, |all, valid| all & !valid);
                Ok(Mask { yes, no })
            }
            Node::Compare { column, test, .. } => {
                let column = self.column(*column)?;
                self.answer(self.test(column, test)?, column.as_ref(), None, test.negated)
            }
            Node::Columns { left, op, right } => {
                let (left, right) = (self.column(*left)?, self.column(*right)?);
                let (cmp, negated, swapped) = match op {
                    Op::Lt => (Cmp::Lt, false, false),
                    Op::Le => (Cmp::Le, false, false),
                    Op::Gt => (Cmp::Lt, false, true),
                    Op::Ge => (Cmp::Le, false, true),
                    Op::Eq => (Cmp::Eq, false, false),
                    Op::Ne => (Cmp::Eq, true, false),
                };
                let (a, b) = if swapped { (right, left) } else { (left, right) };
                let words = self.pairs(a, b, cmp)?;
                self.answer(words, left.as_ref(), Some(right.as_ref()), negated)
            }
            Node::Among { column, set, .. } => {
                let column = self.column(*column)?;
                self.answer(self.among(column, set)?, column.as_ref(), None, false)
            }
            Node::Not(node) => Ok(self.evaluate(node)?.not()),
            Node::And(nodes) => self.all_of(nodes, false),
            Node::Or(nodes) => self.all_of(nodes, true),
        }
    }

    /// AND, or by De Morgan OR. It ends early once no row can change the answer.
    fn all_of(&self, nodes: &[Node], opposite: bool) -> Result<Mask> {
        let turn = |mask: Mask| if opposite { mask.not() } else { mask };
        let mut sum = Mask { yes: self.all(), no: self.none() };
        let all = self.all();
        for node in nodes {
            sum = sum.and(&turn(self.evaluate(node)?));
            if sum.no == all {
                break;
            }
        }
        Ok(turn(sum))
    }

    fn words(&self) -> usize {
        self.rows.num_rows().div_ceil(64)
    }

    fn none(&self) -> Vec<u64> {
        vec![0; self.words()]
    }

    fn all(&self) -> Vec<u64> {
        let mut words = vec![u64::MAX; self.words()];
        let rest = self.rows.num_rows() % 64;
        if let Some(last) = words.last_mut()
            && rest > 0
        {
            *last = (1 << rest) - 1;
        }
        words
    }

    fn valid(&self, column: &dyn Array) -> Vec<u64> {
        match column.nulls() {
            Some(nulls) if nulls.null_count() > 0 => {
                let mut words: Vec<_> = nulls.inner().bit_chunks().iter_padded().collect();
                words.truncate(self.words());
                words
            }
            _ => self.all(),
        }
    }

    /// From the bits of a two-valued test to three values: unknown where a side is null.
    fn answer(
        &self,
        mut yes: Vec<u64>,
        left: &dyn Array,
        right: Option<&dyn Array>,
        negated: bool,
    ) -> Result<Mask> {
        let mut no = self.valid(left);
        if let Some(right) = right {
            zip(&mut no, &self.valid(right), |a, b| a & b);
        }
        for (yes, no) in yes.iter_mut().zip(&mut no) {
            (*yes, *no) = (*yes & *no, !*yes & *no);
        }
        let mask = Mask { yes, no };
        Ok(if negated { mask.not() } else { mask })
    }

    fn column(&self, column: usize) -> Result<&ArrayRef> {
        self.columns
            .iter()
            .position(|&given| given == column)
            .and_then(|position| self.rows.columns().get(position))
            .ok_or_else(|| Error::internal(format!("filter: column {column} was not read")))
    }

    fn test(&self, column: &ArrayRef, test: &Test) -> Result<Vec<u64>> {
        match &test.base {
            Base::Always => Ok(self.all()),
            Base::Int16(cmp, value) => self.lanes::<Int16Type>(column, *cmp, *value),
            Base::Int32(cmp, value) => self.lanes::<Int32Type>(column, *cmp, *value),
            Base::Int64(cmp, value) => {
                let mut words = self.none();
                kernel(*cmp)(whole(column)?, *value, &mut words);
                Ok(words)
            }
            Base::Float32(cmp, value) => self.lanes::<Float32Type>(column, *cmp, *value),
            Base::Float64(cmp, value) => self.lanes::<Float64Type>(column, *cmp, *value),
            Base::Text(cmp, value) => {
                let test = |text: &str| match cmp {
                    Cmp::Lt => text < &**value,
                    Cmp::Le => text <= &**value,
                    Cmp::Eq => text == &**value,
                };
                Ok(self.collect(texts(column)?, |texts, i| test(texts.value(i))))
            }
        }
    }

    fn lanes<T: ArrowPrimitiveType<Native: Lane>>(
        &self,
        column: &ArrayRef,
        cmp: Cmp,
        value: T::Native,
    ) -> Result<Vec<u64>> {
        let mut words = self.none();
        kernel(cmp)(values::<T>(column)?, value, &mut words);
        Ok(words)
    }

    fn among(&self, column: &ArrayRef, set: &Set) -> Result<Vec<u64>> {
        let mut words = self.none();
        match (set, column.data_type()) {
            (Set::Integers(list), DataType::Int16) => {
                any::<Int16Type>(column, &mut words, list.iter().map(|&value| value as i16))?;
            }
            (Set::Integers(list), DataType::Int32) => {
                any::<Int32Type>(column, &mut words, list.iter().map(|&value| value as i32))?;
            }
            (Set::Integers(list), _) => {
                any_of(whole(column)?, &mut words, list.iter().copied());
            }
            (Set::Floats(list, nan), DataType::Float32) => {
                any::<Float32Type>(column, &mut words, list.iter().map(|&value| value as f32))?;
                self.add_nan(*nan, values::<Float32Type>(column)?, &mut words, f32::is_nan);
            }
            (Set::Floats(list, nan), _) => {
                any::<Float64Type>(column, &mut words, list.iter().copied())?;
                self.add_nan(*nan, values::<Float64Type>(column)?, &mut words, f64::is_nan);
            }
            (Set::Texts(list), _) => {
                let within = |text: &str| list.binary_search_by(|item| (**item).cmp(text)).is_ok();
                words = self.collect(texts(column)?, |texts, i| within(texts.value(i)));
            }
        }
        Ok(words)
    }

    fn add_nan<T: Lane>(&self, wanted: bool, values: &[T], words: &mut [u64], is: fn(T) -> bool) {
        if wanted {
            let mut nans = self.none();
            pack(values, &mut nans, is);
            zip(words, &nans, |a, b| a | b);
        }
    }

    fn pairs(&self, left: &ArrayRef, right: &ArrayRef, cmp: Cmp) -> Result<Vec<u64>> {
        let holds = |order: Ordering| match cmp {
            Cmp::Lt => order == Ordering::Less,
            Cmp::Le => order != Ordering::Greater,
            Cmp::Eq => order == Ordering::Equal,
        };
        if *left.data_type() == DataType::Utf8 {
            let right = texts(right)?;
            return Ok(
                self.collect(texts(left)?, |left, i| holds(left.value(i).cmp(right.value(i))))
            );
        }
        Ok(match (Numbers::of(left)?, Numbers::of(right)?) {
            (Numbers::Whole(a), Numbers::Whole(b)) => both(&a, &b, |a, b| holds(a.cmp(&b))),
            (Numbers::Float(a), Numbers::Float(b)) => {
                both(&a, &b, |a, b| holds(compare_floats(a, b)))
            }
            (Numbers::Whole(a), Numbers::Float(b)) => {
                both(&a, &b, |a, b| holds(compare_mixed(a, b)))
            }
            (Numbers::Float(a), Numbers::Whole(b)) => {
                both(&a, &b, |a, b| holds(compare_mixed(b, a).reverse()))
            }
        })
    }

    fn collect(&self, texts: &StringArray, test: impl Fn(&StringArray, usize) -> bool) -> Vec<u64> {
        let mut words = self.none();
        for (i, word) in (0..texts.len()).step_by(64).zip(&mut words) {
            for row in i..(i + 64).min(texts.len()) {
                *word |= u64::from(test(texts, row)) << (row - i);
            }
        }
        words
    }
}

fn kernel<T: Lane>(cmp: Cmp) -> kernels::Kernel<T> {
    let kernels = T::of(kernels::active());
    match cmp {
        Cmp::Lt => kernels.lt,
        Cmp::Le => kernels.le,
        Cmp::Eq => kernels.eq,
    }
}

fn any<T: ArrowPrimitiveType<Native: Lane>>(
    column: &ArrayRef,
    words: &mut [u64],
    list: impl ExactSizeIterator<Item = T::Native>,
) -> Result<()> {
    any_of(values::<T>(column)?, words, list);
    Ok(())
}

/// Sets the bits of the values that are in `list`, which is ascending.
fn any_of<T: Lane>(values: &[T], words: &mut [u64], list: impl ExactSizeIterator<Item = T>) {
    if list.len() <= KERNEL_LIST_MAX {
        let mut one = vec![0; words.len()];
        for value in list {
            kernel(Cmp::Eq)(values, value, &mut one);
            zip(words, &one, |a, b| a | b);
        }
        return;
    }
    let list: Vec<T> = list.collect();
    let holds = |value: T| {
        list.get(list.partition_point(|&item| item < value)).is_some_and(|&item| item == value)
    };
    // Rows are sorted by key, so that a value is often the one before.
    let mut last = None;
    for (values, word) in values.chunks(64).zip(words) {
        for (i, &value) in values.iter().enumerate() {
            let held = match last {
                Some((before, held)) if before == value => held,
                _ => holds(value),
            };
            last = Some((value, held));
            *word |= u64::from(held) << i;
        }
    }
}

fn values<T: ArrowPrimitiveType>(column: &ArrayRef) -> Result<&ScalarBuffer<T::Native>> {
    column.as_primitive_opt::<T>().map(|array| array.values()).ok_or_else(|| unlike(column))
}

/// Values of a 64-bit integer or time column.
fn whole(column: &ArrayRef) -> Result<&ScalarBuffer<i64>> {
    match column.data_type() {
        DataType::Timestamp(..) => values::<TimestampMicrosecondType>(column),
        _ => values::<Int64Type>(column),
    }
}

fn texts(column: &ArrayRef) -> Result<&StringArray> {
    column.as_string_opt::<i32>().ok_or_else(|| unlike(column))
}

fn unlike(column: &ArrayRef) -> Error {
    Error::internal(format!("filter: a column came as {}", column.data_type()))
}

/// A numeric or time column, widened without loss.
enum Numbers<'a> {
    Whole(Cow<'a, [i64]>),
    Float(Cow<'a, [f64]>),
}

impl<'a> Numbers<'a> {
    fn of(column: &'a ArrayRef) -> Result<Self> {
        fn wide<T: ArrowPrimitiveType, W: From<T::Native> + Clone>(
            column: &ArrayRef,
        ) -> Result<Cow<'_, [W]>> {
            Ok(Cow::Owned(values::<T>(column)?.iter().map(|&value| value.into()).collect()))
        }
        Ok(match column.data_type() {
            DataType::Int16 => Self::Whole(wide::<Int16Type, i64>(column)?),
            DataType::Int32 => Self::Whole(wide::<Int32Type, i64>(column)?),
            DataType::Float32 => Self::Float(wide::<Float32Type, f64>(column)?),
            DataType::Float64 => Self::Float(Cow::Borrowed(values::<Float64Type>(column)?)),
            _ => Self::Whole(Cow::Borrowed(whole(column)?)),
        })
    }
}

fn both<A: Copy, B: Copy>(left: &[A], right: &[B], test: impl Fn(A, B) -> bool) -> Vec<u64> {
    let pairs = left.chunks(64).zip(right.chunks(64));
    pairs
        .map(|(left, right)| {
            left.iter()
                .zip(right)
                .enumerate()
                .fold(0, |word, (i, (&a, &b))| word | (u64::from(test(a, b)) << i))
        })
        .collect()
}

/// NaN equals itself and is greater than all else; zeros are equal.
pub(super) fn compare_floats(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// An integer beside a float, as the numbers they are: neither is rounded.
pub(super) fn compare_mixed(whole: i64, float: f64) -> Ordering {
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;
    if float.is_nan() || float >= BEYOND {
        Ordering::Less
    } else if float < -BEYOND {
        Ordering::Greater
    } else {
        let floor = float.floor();
        whole.cmp(&(floor as i64)).then(floor.total_cmp(&float))
    }
}
