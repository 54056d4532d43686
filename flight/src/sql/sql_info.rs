//! The answers to CommandGetSqlInfo: all that the protocol names, each as it is for this server. A test checks those
//! that a statement can prove against the engine.

use std::collections::BTreeMap;

use arrow::compute::can_cast_types;
use arrow::datatypes::{DataType, TimeUnit};
use arrow_flight::sql::SqlInfo::*;
use arrow_flight::sql::metadata::{SqlInfoData, SqlInfoDataBuilder};
use arrow_flight::sql::{
    SqlNullOrdering, SqlOuterJoinsSupportLevel, SqlSupportedCaseSensitivity, SqlSupportedGroupBy,
    SqlSupportedResultSetConcurrency, SqlSupportedResultSetType, SqlSupportedSubqueries,
    SqlSupportedTransaction, SqlSupportedUnions, SqlSupportsConvert, SqlTransactionIsolationLevel,
};

use crate::Result;

/// Version of the Arrow columnar format that is spoken.
const ARROW_FORMAT: &str = "1.5.0";
/// There is no limit, or no such thing.
const NONE: i64 = 0;
/// No bit of a mask is set.
const NO_BITS: i32 = 0;

/// Keywords beyond SQL:2003.
pub(super) const KEYWORDS: [&str; 16] = [
    "ANALYZE", "ANTI", "DESCRIBE", "EXCEPT", "EXCLUDE", "EXPLAIN", "ILIKE", "LIMIT", "OFFSET",
    "QUALIFY", "RENAME", "REPLACE", "SEMI", "SHOW", "TRY_CAST", "UNNEST",
];
/// Functions of numbers.
pub(super) const NUMERIC: [&str; 34] = [
    "abs",
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "cbrt",
    "ceil",
    "cos",
    "cosh",
    "cot",
    "degrees",
    "exp",
    "factorial",
    "floor",
    "gcd",
    "isnan",
    "iszero",
    "lcm",
    "ln",
    "log",
    "log10",
    "log2",
    "pi",
    "power",
    "radians",
    "random",
    "round",
    "signum",
    "sin",
    "sqrt",
    "tan",
];
/// Functions of text.
pub(super) const STRING: [&str; 36] = [
    "ascii",
    "bit_length",
    "btrim",
    "character_length",
    "chr",
    "concat",
    "concat_ws",
    "contains",
    "ends_with",
    "find_in_set",
    "initcap",
    "left",
    "levenshtein",
    "lower",
    "lpad",
    "ltrim",
    "octet_length",
    "regexp_count",
    "regexp_like",
    "regexp_match",
    "regexp_replace",
    "repeat",
    "replace",
    "reverse",
    "right",
    "rpad",
    "rtrim",
    "split_part",
    "starts_with",
    "strpos",
    "substr",
    "substr_index",
    "to_hex",
    "translate",
    "upper",
    "uuid",
];
/// Functions of the system and of any type.
pub(super) const SYSTEM: [&str; 8] =
    ["arrow_cast", "arrow_typeof", "coalesce", "greatest", "least", "nullif", "nvl", "version"];
/// Functions of dates and times.
pub(super) const DATETIME: [&str; 18] = [
    "current_date",
    "current_time",
    "date_bin",
    "date_part",
    "date_trunc",
    "from_unixtime",
    "make_date",
    "now",
    "to_char",
    "to_date",
    "to_local_time",
    "to_timestamp",
    "to_timestamp_micros",
    "to_timestamp_millis",
    "to_timestamp_nanos",
    "to_timestamp_seconds",
    "to_unixtime",
    "make_time",
];

/// All answers. `statement_bytes_max` is the longest statement that is taken.
pub(super) fn data(statement_bytes_max: usize) -> Result<SqlInfoData> {
    let mut info = SqlInfoDataBuilder::new();
    server(&mut info);
    syntax(&mut info);
    support(&mut info);
    limits(&mut info, i64::try_from(statement_bytes_max).unwrap_or(i64::MAX));
    transactions(&mut info);
    results(&mut info);
    Ok(info.build()?)
}

fn server(info: &mut SqlInfoDataBuilder) {
    info.append(FlightSqlServerName, "barograph");
    info.append(FlightSqlServerVersion, env!("CARGO_PKG_VERSION"));
    info.append(FlightSqlServerArrowVersion, ARROW_FORMAT);
    info.append(FlightSqlServerReadOnly, false);
    info.append(FlightSqlServerSql, true);
    info.append(FlightSqlServerSubstrait, false);
    info.append(FlightSqlServerTransaction, SqlSupportedTransaction::None as i32);
    info.append(FlightSqlServerCancel, true);
    info.append(FlightSqlServerBulkIngestion, true);
    info.append(FlightSqlServerIngestTransactionsSupported, false);
    // Handles do not expire, as nothing is kept for them.
    info.append(FlightSqlServerStatementTimeout, 0_i32);
    info.append(FlightSqlServerTransactionTimeout, 0_i32);
}

fn syntax(info: &mut SqlInfoDataBuilder) {
    for ddl in [SqlDdlCatalog, SqlDdlSchema, SqlDdlTable] {
        info.append(ddl, false);
    }
    let lowercase = SqlSupportedCaseSensitivity::SqlCaseSensitivityLowercase;
    info.append(SqlIdentifierCase, lowercase as i32);
    info.append(SqlIdentifierQuoteChar, "\"");
    // They mean what is written in them, for which the protocol has no word.
    let as_written = SqlSupportedCaseSensitivity::SqlCaseSensitivityUnknown;
    info.append(SqlQuotedIdentifierCase, as_written as i32);
    info.append(SqlAllTablesAreSelectable, true);
    info.append(SqlNullOrdering, SqlNullOrdering::SqlNullsSortedHigh as i32);
    info.append(SqlKeywords, KEYWORDS.as_slice());
    info.append(SqlNumericFunctions, NUMERIC.as_slice());
    info.append(SqlStringFunctions, STRING.as_slice());
    info.append(SqlSystemFunctions, SYSTEM.as_slice());
    info.append(SqlDatetimeFunctions, DATETIME.as_slice());
    info.append(SqlSearchStringEscape, "\\");
    info.append(SqlExtraNameCharacters, "");
    info.append(SqlSchemaTerm, "schema");
    info.append(SqlProcedureTerm, "");
    info.append(SqlCatalogTerm, "catalog");
    info.append(SqlCatalogAtStart, true);
}

fn support(info: &mut SqlInfoDataBuilder) {
    info.append(SqlSupportsColumnAliasing, true);
    info.append(SqlNullPlusNullIsNull, true);
    info.append(SqlSupportsConvert, conversions());
    info.append(SqlSupportsTableCorrelationNames, true);
    info.append(SqlSupportsDifferentTableCorrelationNames, false);
    info.append(SqlSupportsExpressionsInOrderBy, true);
    info.append(SqlSupportsOrderByUnrelated, true);
    let unrelated = SqlSupportedGroupBy::SqlGroupByUnrelated as i32;
    let beyond_select = SqlSupportedGroupBy::SqlGroupByBeyondSelect as i32;
    info.append(SqlSupportedGroupBy, bits(&[unrelated, beyond_select]));
    info.append(SqlSupportsLikeEscapeClause, true);
    info.append(SqlSupportsNonNullableColumns, true);
    // Every level has statements that define and update tables.
    info.append(SqlSupportedGrammar, NO_BITS);
    info.append(SqlAnsi92SupportedLevel, NO_BITS);
    info.append(SqlSupportsIntegrityEnhancementFacility, false);
    let full = SqlOuterJoinsSupportLevel::SqlFullOuterJoins;
    info.append(SqlOuterJoinsSupportLevel, full as i32);
    info.append(SqlSchemasSupportedActions, NO_BITS);
    info.append(SqlCatalogsSupportedActions, NO_BITS);
    info.append(SqlSupportedPositionedCommands, NO_BITS);
    info.append(SqlSelectForUpdateSupported, false);
    info.append(SqlStoredProceduresSupported, false);
    let subqueries = [
        SqlSupportedSubqueries::SqlSubqueriesInComparisons as i32,
        SqlSupportedSubqueries::SqlSubqueriesInExists as i32,
        SqlSupportedSubqueries::SqlSubqueriesInIns as i32,
        SqlSupportedSubqueries::SqlSubqueriesInQuantifieds as i32,
    ];
    info.append(SqlSupportedSubqueries, bits(&subqueries));
    info.append(SqlCorrelatedSubqueriesSupported, true);
    let unions = [SqlSupportedUnions::SqlUnion as i32, SqlSupportedUnions::SqlUnionAll as i32];
    info.append(SqlSupportedUnions, bits(&unions));
}

fn limits(info: &mut SqlInfoDataBuilder, statement_bytes_max: i64) {
    for limit in [
        SqlMaxBinaryLiteralLength,
        SqlMaxCharLiteralLength,
        SqlMaxColumnNameLength,
        SqlMaxColumnsInGroupBy,
        SqlMaxColumnsInIndex,
        SqlMaxColumnsInOrderBy,
        SqlMaxColumnsInSelect,
        SqlMaxColumnsInTable,
        SqlMaxConnections,
        SqlMaxCursorNameLength,
        SqlMaxIndexLength,
        SqlDbSchemaNameLength,
        SqlMaxProcedureNameLength,
        SqlMaxCatalogNameLength,
        SqlMaxRowSize,
        SqlMaxStatements,
        SqlMaxTableNameLength,
        SqlMaxTablesInSelect,
        SqlMaxUsernameLength,
    ] {
        info.append(limit, NONE);
    }
    info.append(SqlMaxRowSizeIncludesBlobs, true);
    info.append(SqlMaxStatementLength, statement_bytes_max);
}

fn transactions(info: &mut SqlInfoDataBuilder) {
    let none = SqlTransactionIsolationLevel::SqlTransactionNone as i32;
    info.append(SqlDefaultTransactionIsolation, none);
    info.append(SqlTransactionsSupported, false);
    info.append(SqlSupportedTransactionsIsolationLevels, bits(&[none]));
    info.append(SqlDataDefinitionCausesTransactionCommit, false);
    info.append(SqlDataDefinitionsInTransactionsIgnored, false);
    info.append(SqlSavepointsSupported, false);
}

fn results(info: &mut SqlInfoDataBuilder) {
    let forward_only = SqlSupportedResultSetType::SqlResultSetTypeForwardOnly as i32;
    info.append(SqlSupportedResultSetTypes, bits(&[forward_only]));
    let read_only = SqlSupportedResultSetConcurrency::SqlResultSetConcurrencyReadOnly as i32;
    info.append(SqlSupportedConcurrenciesForResultSetForwardOnly, bits(&[read_only]));
    for unsupported in [
        SqlSupportedConcurrenciesForResultSetUnspecified,
        SqlSupportedConcurrenciesForResultSetScrollSensitive,
        SqlSupportedConcurrenciesForResultSetScrollInsensitive,
    ] {
        info.append(unsupported, NO_BITS);
    }
    info.append(SqlBatchUpdatesSupported, false);
    info.append(SqlNamedParametersSupported, false);
    info.append(SqlLocatorsUpdateCopy, false);
    info.append(SqlStoredFunctionsUsingCallSyntaxSupported, false);
}

/// The mask in which the bits of these values are set.
fn bits(values: &[i32]) -> i32 {
    values.iter().fold(0, |mask, value| mask | (1 << value))
}

/// Which types CAST converts into which: those that the kernels convert.
fn conversions() -> BTreeMap<i32, Vec<i32>> {
    use SqlSupportsConvert::*;
    let types = [
        (SqlConvertBigint, DataType::Int64),
        (SqlConvertBinary, DataType::Binary),
        (SqlConvertBit, DataType::Boolean),
        (SqlConvertChar, DataType::Utf8),
        (SqlConvertDate, DataType::Date32),
        (SqlConvertDecimal, DataType::Decimal128(38, 10)),
        (SqlConvertFloat, DataType::Float32),
        (SqlConvertInteger, DataType::Int32),
        (SqlConvertLongvarbinary, DataType::Binary),
        (SqlConvertLongvarchar, DataType::Utf8),
        (SqlConvertNumeric, DataType::Decimal128(38, 10)),
        (SqlConvertReal, DataType::Float32),
        (SqlConvertSmallint, DataType::Int16),
        (SqlConvertTime, DataType::Time64(TimeUnit::Nanosecond)),
        (SqlConvertTimestamp, DataType::Timestamp(TimeUnit::Nanosecond, None)),
        (SqlConvertTinyint, DataType::Int8),
        (SqlConvertVarbinary, DataType::Binary),
        (SqlConvertVarchar, DataType::Utf8),
    ];
    let into = |from: &DataType| {
        let into = types.iter().filter(|(_, to)| can_cast_types(from, to));
        into.map(|(name, _)| *name as i32).collect()
    };
    types.iter().map(|(name, from)| (*name as i32, into(from))).collect()
}
