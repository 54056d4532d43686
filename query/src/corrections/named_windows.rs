//! Windows that build on windows with a name: `OVER (w ORDER BY x)`, and `WINDOW w2 AS (w1 ORDER BY x)`.
//!
//! DataFusion 55.2 passes the name over, so that the partitions of `w` are not those of the sum. Here the window is written out:
//!
//! ```text
//! sum(x) OVER (w ORDER BY x) … WINDOW w AS (PARTITION BY k)   ──►   sum(x) OVER (PARTITION BY k ORDER BY x)
//! ```
//!
//! As in the standard, a window adds an order and a frame to a named one that has none, and no partitions.

use barograph_engine::{Error, Result};
use datafusion::sql::sqlparser::ast::{
    Expr, Ident, NamedWindowDefinition, NamedWindowExpr, Query, Select, SetExpr, Statement as Ast,
    WindowSpec, WindowType,
};

use crate::tree::{Tree, Visitor};

/// Writes out windows that build on others.
///
/// # Errors
/// `Request` if there is no such window, or it cannot be built on.
pub(crate) fn write_out(ast: &mut Ast) -> Result<()> {
    ast.walk(&mut NamedWindows::default())
}

/// The windows with a name of each query around an expression, innermost last.
#[derive(Default)]
struct NamedWindows(Vec<Vec<(Ident, WindowSpec)>>);

impl Visitor for NamedWindows {
    fn pre_visit_query(&mut self, query: &mut Query) -> Result<()> {
        // ORDER BY of a query sees the windows of its SELECT.
        let windows = match query.body.as_ref() {
            SetExpr::Select(select) => written_out(&select.named_window)?,
            _ => Vec::new(),
        };
        self.0.push(windows);
        Ok(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> Result<()> {
        self.0.pop();
        Ok(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> Result<()> {
        let windows = written_out(&select.named_window)?;
        for (definition, (_, spec)) in select.named_window.iter_mut().zip(&windows) {
            definition.1 = NamedWindowExpr::WindowSpec(spec.clone());
        }
        self.0.push(windows);
        Ok(())
    }

    fn post_visit_select(&mut self, _: &mut Select) -> Result<()> {
        self.0.pop();
        Ok(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> Result<()> {
        if let Expr::Function(function) = expr
            && let Some(WindowType::WindowSpec(spec)) = &mut function.over
            && spec.window_name.is_some()
        {
            *spec = built(spec, self.0.last().map_or(&[], Vec::as_slice))?;
        }
        Ok(())
    }
}

/// Windows without references to one another. One sees those before it.
fn written_out(definitions: &[NamedWindowDefinition]) -> Result<Vec<(Ident, WindowSpec)>> {
    let mut windows = Vec::with_capacity(definitions.len());
    for NamedWindowDefinition(name, definition) in definitions {
        let spec = match definition {
            NamedWindowExpr::NamedWindow(base) => find(base, &windows)?.clone(),
            NamedWindowExpr::WindowSpec(spec) => built(spec, &windows)?,
        };
        windows.push((name.clone(), spec));
    }
    Ok(windows)
}

/// A window with what it takes from the one that it builds on.
fn built(spec: &WindowSpec, windows: &[(Ident, WindowSpec)]) -> Result<WindowSpec> {
    let Some(name) = &spec.window_name else { return Ok(spec.clone()) };
    let base = find(name, windows)?;
    let twice = [
        ("PARTITION BY", !spec.partition_by.is_empty()),
        ("ORDER BY", !spec.order_by.is_empty() && !base.order_by.is_empty()),
        ("a frame", base.window_frame.is_some()),
    ];
    if let Some((what, _)) = twice.into_iter().find(|(_, twice)| *twice) {
        return Err(Error::request(format!(
            "a window that builds on {name} cannot give it {what} again: write the window out"
        )));
    }
    let order_by = if spec.order_by.is_empty() { &base.order_by } else { &spec.order_by };
    Ok(WindowSpec {
        window_name: None,
        partition_by: base.partition_by.clone(),
        order_by: order_by.clone(),
        window_frame: spec.window_frame.clone(),
    })
}

fn find<'a>(name: &Ident, windows: &'a [(Ident, WindowSpec)]) -> Result<&'a WindowSpec> {
    let is_it = |other: &Ident| match (&name.quote_style, &other.quote_style) {
        (None, None) => name.value.eq_ignore_ascii_case(&other.value),
        _ => name.value == other.value,
    };
    match windows.iter().find(|(other, _)| is_it(other)) {
        Some((_, spec)) => Ok(spec),
        None => Err(Error::request(format!(
            "there is no window {name}: define it before by WINDOW {name} AS (…)"
        ))),
    }
}
