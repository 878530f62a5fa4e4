//! The same rows in SQLite: bundled sources, write-ahead log, `synchronous=FULL`, statements prepared once.

use std::path::Path;
use std::time::Instant;

use rusqlite::{CachedStatement, Connection, params};
use tempfile::TempDir;

use super::Verb;
use crate::Failure;

/// Both indexes of the model; the first is that of the unique name.
const TABLE: &str =
    "create table person (id integer primary key, name text not null unique, score integer, city text);
    create index person_score on person (score);";
const CITIES: [&str; 8] = ["Ghent", "Aalst", "Bruges", "Ostend", "Ypres", "Mechelen", "Leuven", "Namur"];
/// As much memory for pages as the heap takes, in KiB.
const CACHE_KIB: i64 = 512 << 10;

pub(super) struct Sqlite {
    connection: Connection,
    _folder: TempDir,
}

impl Sqlite {
    /// A database with these rows, closed and opened again.
    pub(super) fn fill(beside: &Path, rows: i64) -> Result<Sqlite, Failure> {
        let folder = tempfile::Builder::new().prefix("sqlite-").tempdir_in(beside)?;
        let file = folder.path().join("people.db");
        let mut connection = open(&file)?;
        connection.execute_batch(TABLE)?;
        let transaction = connection.transaction()?;
        {
            let mut insert =
                transaction.prepare("insert into person (name, score, city) values (?, ?, ?)")?;
            for key in 0..rows {
                insert.execute(params![format!("n{key}"), (key * 7919) % rows, city(key)])?;
            }
        }
        transaction.commit()?;
        drop(connection);
        Ok(Sqlite { connection: open(&file)?, _folder: folder })
    }

    /// Seconds for all of these: reads by themselves, writes in one transaction.
    pub(super) fn together(&mut self, verb: Verb, operations: &[(i64, i64)]) -> Result<f64, Failure> {
        let begun = Instant::now();
        let isolated = matches!(verb, Verb::Find | Verb::Range);
        if !isolated {
            self.connection.execute_batch("begin immediate")?;
        }
        for operation in operations {
            self.one(verb, *operation)?;
        }
        if !isolated {
            self.connection.execute_batch("commit")?;
        }
        Ok(begun.elapsed().as_secs_f64())
    }

    /// Seconds for one of them, in a transaction of its own.
    pub(super) fn alone(&mut self, verb: Verb, operation: (i64, i64)) -> Result<f64, Failure> {
        let begun = Instant::now();
        self.one(verb, operation)?;
        Ok(begun.elapsed().as_secs_f64())
    }

    fn one(&self, verb: Verb, (key, score): (i64, i64)) -> Result<(), Failure> {
        match verb {
            Verb::Find => {
                let mut find = self.prepared("select score from person where name = ?")?;
                find.query_row([format!("n{key}")], |row| row.get::<_, i64>(0))?;
            }
            Verb::Range => {
                let mut range = self
                    .prepared("select name, score from person where score between ? and ? order by score")?;
                let mut rows = range.query([key, key + 9])?;
                while let Some(row) = rows.next()? {
                    row.get::<_, String>(0)?;
                }
            }
            Verb::Insert => {
                let mut insert = self.prepared("insert into person (name, score, city) values (?, ?, ?)")?;
                insert.execute(params![format!("i{key}"), score, city(key)])?;
            }
            Verb::Update => {
                let mut update = self.prepared("update person set score = ? where name = ?")?;
                update.execute(params![score, format!("n{key}")])?;
            }
            Verb::Idle | Verb::Fill | Verb::Index | Verb::Left | Verb::Grow => {}
        }
        Ok(())
    }

    /// Seconds for one index more.
    pub(super) fn index(&self) -> Result<f64, Failure> {
        let begun = Instant::now();
        self.connection.execute_batch("create index person_city on person (city)")?;
        Ok(begun.elapsed().as_secs_f64())
    }

    fn prepared(&self, statement: &str) -> Result<CachedStatement<'_>, Failure> {
        Ok(self.connection.prepare_cached(statement)?)
    }
}

fn open(file: &Path) -> Result<Connection, Failure> {
    let connection = Connection::open(file)?;
    let mode: String = connection.query_row("pragma journal_mode = wal", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(format!("SQLite has a journal of mode {mode:?}").into());
    }
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    Ok(connection)
}

fn city(key: i64) -> &'static str {
    CITIES[key.rem_euclid(8) as usize]
}
