//! Fuzz target of the protocol: what a connection begins with, and messages, answered by a server that runs.

use barograph_fuzz::Target;

use super::*;

fn encoded(messages: &[In]) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    messages.iter().for_each(|message| message.encode(&mut bytes).unwrap());
    bytes.to_vec()
}

fn seeds() -> Vec<Vec<u8>> {
    let statements = [
        "select * from readings where temperature > 1.5; select 1",
        "set timezone = 'Europe/Berlin'; show all; begin; declare c cursor for select 1; fetch all in c; close c; commit",
        "select c.oid::regclass, format_type(23, -1), 'readings'::regclass from pg_class c where relname OPERATOR(pg_catalog.~) '^r' COLLATE pg_catalog.default",
        "deallocate all; discard all; reset all; rollback; abort; savepoint a",
        "select 1::int2, '{1}'::text, interval '1 day', now(), null, true, [1, 2], 1.5::decimal(9, 2)",
        "insert into readings values (1)",
    ];
    let simple = statements.iter().map(|text| vec![startup(), query(text)]);
    let describe = In::Describe(Describe::new(b'S', None));
    let types = vec![23, 0, 1_007, 1_184, 1_700];
    let parse_of = In::Parse(Parse::new(
        None,
        "select $1 + city_id, $2, $3, $4, $5 from readings".to_owned(),
        types,
    ));
    let array = [1, 0, 23, 1, 1, 4, 7].map(i32::to_be_bytes).concat();
    let values: [&[u8]; 5] = [
        &7_i32.to_be_bytes(),
        b"text",
        &array,
        &START.to_be_bytes(),
        &[0, 1, 0, 0, 0, 0, 0, 1, 0, 7],
    ];
    let values = values.map(|value| Some(value.to_vec().into())).to_vec();
    let bind_of = In::Bind(Bind::new(None, None, vec![1, 0, 1, 1, 1], values, vec![1]));
    let extended = vec![startup(), parse_of, describe, bind_of, execute(3), execute(0), sync()];
    let short = vec![startup(), parse("select $1"), bind(&["{a,\"b\",NULL}"]), execute(1), sync()];
    let mut all: Vec<_> =
        simple.chain([extended, short]).map(|messages| encoded(&messages)).collect();
    let words = |code: i32, rest: &[u8]| {
        let length = rest.len() as i32 + 8;
        [&length.to_be_bytes(), &code.to_be_bytes(), rest].concat()
    };
    all.push([words(80_877_103, b""), words(80_877_104, b""), encoded(&[startup()])].concat());
    all.push(words(80_877_102, b"\0\0\0\x01abcd"));
    all.push(words(196_610, b"user\0a\0options\0-c statement_timeout=5s\0_pq_.x\0y\0\0"));
    all
}

const TOKENS: [&str; 20] = [
    "Q\0\0\0\x0dselect 1\0",
    "S\0\0\0\x04",
    "H\0\0\0\x04",
    "X\0\0\0\x04",
    "E\0\0\0\x09\0\0\0\0\0",
    "D\0\0\0\x06S\0",
    "C\0\0\0\x06P\0",
    "\0\0\0\x08",
    "\x7f\x7f\x7f\x7f",
    "::regclass",
    "pg_catalog.",
    "pg_class",
    "$1",
    "$q$",
    "/*",
    "E'\\'",
    "cursor",
    "fetch -1",
    "set search_path=",
    "collate ",
];

/// What kinds of messages come back; none without an answer.
async fn ask(address: SocketAddr, input: &[u8]) -> String {
    let mut connection = TcpStream::connect(address).await.unwrap();
    let _ = connection.write_all(input).await;
    let _ = connection.shutdown().await;
    let mut answer = Vec::new();
    let _ = connection.read_to_end(&mut answer).await;
    let (mut kinds, mut rest) = (String::new(), answer.as_slice());
    while let Some((head, body)) = rest.split_first_chunk::<5>() {
        // Answers to what a connection begins with are single letters.
        if head[0] == b'N' && rest.len() > 1 && rest[1] != 0 {
            rest = &rest[1..];
            continue;
        }
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        kinds.push(char::from(head[0]));
        if head[0] == b'E' {
            assert!(!body.windows(7).any(|of| of == b"CXX000\0"), "the server has a defect");
        }
        rest = body.get(length.saturating_sub(4)..).unwrap_or_default();
    }
    kinds
}

#[test]
fn fuzz_postgres() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let folder = tempfile::tempdir_in(barograph_fuzz::folder()).unwrap();
    let running = runtime.block_on(start(folder));
    let target = Target::new("postgres", 1_000).seeds(seeds()).tokens(TOKENS).bytes_max(4 << 10);
    target.memory(64 << 20, 1_024).run(|input| {
        let kinds = runtime.block_on(ask(running.address, input));
        match kinds.contains('E') || kinds.is_empty() {
            false => Ok(()),
            // Which messages came tells outcomes apart, not how many.
            true => {
                let mut of: Vec<_> = kinds.chars().collect();
                of.dedup();
                Err(format!("refused: {}", of.into_iter().collect::<String>()))
            }
        }
    });
    runtime.block_on(running.stop());
}
