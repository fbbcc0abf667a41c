"""An agent that answers from a database: it looks at the tables, asks in SQL, and submits what it found.

    python -m drivers.evaluate run examples/tasks/library.py --model anthropic/claude-sonnet-5-5
    python -m drivers.evaluate run examples/tasks/library.py --agent "react(max_turns=3)" --model openai/gpt-6.2-sol

The right answers are what the queries beside the questions give, so they follow the rows. A database is built for each
call in memory, from the rows below: nothing that an agent does to it lasts.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

from agent_core.evaluation import Answered, SampleLimits, Task, react, scorer, task
from agent_core.tools import tool

SCHEMA = """
CREATE TABLE author (id INTEGER PRIMARY KEY, name TEXT, country TEXT, born INTEGER);
CREATE TABLE book (id INTEGER PRIMARY KEY, title TEXT, author_id INTEGER REFERENCES author (id), year INTEGER,
    genre TEXT, pages INTEGER, copies INTEGER);
CREATE TABLE member (id INTEGER PRIMARY KEY, name TEXT, town TEXT, joined TEXT);
CREATE TABLE loan (id INTEGER PRIMARY KEY, book_id INTEGER REFERENCES book (id),
    member_id INTEGER REFERENCES member (id), taken TEXT, returned TEXT);
"""
AUTHORS = [
    ("Mira Halvorsen", "Norway", 1951), ("Tomas Brandl", "Austria", 1938), ("Ines Caldeira", "Portugal", 1967),
    ("Peter Okafor", "Nigeria", 1972), ("Yuki Tanabe", "Japan", 1980), ("Clara Weiss", "Austria", 1990),
    ("Sean Gallagher", "Ireland", 1945), ("Lucia Moretti", "Italy", 1959), ("Ada Nwosu", "Nigeria", 1985),
]  # fmt: skip
BOOKS = [
    ("The Salt Road", 1, 1988, "novel", 412, 3), ("Winter Harbour", 1, 1994, "novel", 356, 2),
    ("Letters from the Fjord", 1, 2003, "letters", 198, 1), ("The Clockmaker's Debt", 2, 1971, "crime", 284, 4),
    ("A Street in Graz", 2, 1979, "novel", 331, 2), ("The Ninth Witness", 2, 1983, "crime", 305, 5),
    ("Tides of Lisbon", 3, 1999, "poetry", 96, 2), ("The Cork Forest", 3, 2008, "novel", 377, 3),
    ("Lagos by Night", 4, 2001, "crime", 342, 4), ("The Water Seller", 4, 2010, "novel", 268, 2),
    ("Paper Cranes", 5, 2012, "poetry", 84, 1), ("The Quiet Platform", 5, 2017, "novel", 295, 3),
    ("Garden of Stones", 5, 2021, "essays", 176, 2), ("Glass and Snow", 6, 2019, "crime", 318, 3),
    ("The Last Funicular", 6, 2022, "crime", 290, 2), ("Turf and Stone", 7, 1976, "poetry", 112, 1),
    ("The Ferryman's Daughter", 7, 1981, "novel", 449, 3), ("Rain over Clifden", 7, 1990, "essays", 207, 1),
    ("Bread and Marble", 8, 1992, "novel", 388, 2), ("The Fresco Thief", 8, 2000, "crime", 326, 5),
    ("Small Kitchens", 8, 2006, "essays", 154, 2), ("Harmattan", 9, 2015, "novel", 301, 4),
    ("The Market Women", 9, 2020, "novel", 275, 3), ("Songs for the Delta", 9, 2023, "poetry", 91, 1),
]  # fmt: skip
MEMBERS = [
    ("Anna Lind", "Northgate", "2015-03-02"), ("Boris Petrov", "Millbrook", "2016-07-19"),
    ("Carmen Ruiz", "Northgate", "2018-01-11"), ("David Cole", "Easton", "2018-09-30"),
    ("Emma Novak", "Millbrook", "2019-05-14"), ("Farid Azizi", "Easton", "2020-02-27"),
    ("Grace Mbeki", "Northgate", "2021-11-08"), ("Henry Ott", "Westfield", "2022-06-21"),
    ("Irene Sato", "Westfield", "2023-04-03"), ("Jonas Berg", "Millbrook", "2024-08-16"),
]  # fmt: skip
# Book, member, the day it was taken and the day it came back (none: it is still out).
LOANS = [
    (1, 1, "2024-01-05", "2024-01-26"), (4, 1, "2024-02-10", "2024-03-01"), (20, 1, "2024-05-12", None),
    (6, 2, "2024-01-15", "2024-02-02"), (9, 2, "2024-02-20", "2024-03-15"), (14, 2, "2024-04-01", "2024-04-18"),
    (20, 2, "2024-06-03", "2024-06-25"), (7, 3, "2024-01-22", "2024-02-05"), (11, 3, "2024-03-03", "2024-03-10"),
    (24, 3, "2024-05-27", None), (17, 4, "2024-02-08", "2024-04-02"), (2, 4, "2024-04-20", "2024-05-20"),
    (6, 5, "2024-03-11", "2024-03-29"), (15, 5, "2024-04-09", "2024-04-30"), (4, 5, "2024-05-15", "2024-06-01"),
    (20, 5, "2024-06-28", None), (22, 6, "2024-02-14", "2024-03-08"), (23, 6, "2024-03-20", "2024-04-11"),
    (13, 7, "2024-01-30", "2024-02-12"), (21, 7, "2024-03-05", "2024-03-26"), (18, 7, "2024-04-16", "2024-05-06"),
    (19, 7, "2024-06-10", None), (12, 8, "2024-02-25", "2024-03-19"), (6, 8, "2024-05-02", "2024-05-23"),
    (8, 9, "2024-03-14", "2024-04-05"), (6, 9, "2024-06-15", None), (1, 9, "2024-04-22", "2024-05-18"),
    (9, 1, "2024-04-03", "2024-04-21"),
]  # fmt: skip
# Each question with its group, and the query whose first value is the answer.
QUESTIONS = [
    ("count", "How many books are in the catalogue?", "SELECT count(*) FROM book"),
    ("count", "How many crime books are in the catalogue?", "SELECT count(*) FROM book WHERE genre = 'crime'"),
    ("count", "How many copies of poetry books are there?", "SELECT sum(copies) FROM book WHERE genre = 'poetry'"),
    ("count", "How many members live in Millbrook?", "SELECT count(*) FROM member WHERE town = 'Millbrook'"),
    ("count", "How many loans have not come back yet?", "SELECT count(*) FROM loan WHERE returned IS NULL"),
    ("count", "How many books were published before 1985?", "SELECT count(*) FROM book WHERE year < 1985"),
    ("count", "How many different genres are there?", "SELECT count(DISTINCT genre) FROM book"),
    ("count", "How many books have more than 350 pages?", "SELECT count(*) FROM book WHERE pages > 350"),
    ("lookup", "In which year was 'The Cork Forest' published?",
     "SELECT year FROM book WHERE title = 'The Cork Forest'"),
    ("lookup", "How many pages has 'Harmattan'?", "SELECT pages FROM book WHERE title = 'Harmattan'"),
    ("lookup", "In which town does Farid Azizi live?", "SELECT town FROM member WHERE name = 'Farid Azizi'"),
    ("lookup", "Which book is the longest?", "SELECT title FROM book ORDER BY pages DESC"),
    ("lookup", "Which book is the oldest?", "SELECT title FROM book ORDER BY year"),
    ("lookup", "Who joined the library first?", "SELECT name FROM member ORDER BY joined"),
    ("lookup", "Which author was born last?", "SELECT name FROM author ORDER BY born DESC"),
    ("join", "Who wrote 'The Fresco Thief'?",
     "SELECT name FROM author JOIN book ON author.id = author_id WHERE title = 'The Fresco Thief'"),
    ("join", "How many books by authors from Nigeria are there?",
     "SELECT count(*) FROM book JOIN author ON author.id = author_id WHERE country = 'Nigeria'"),
    ("join", "Which author has the most pages in all books together?",
     "SELECT name FROM author JOIN book ON author.id = author_id GROUP BY author.id ORDER BY sum(pages) DESC"),
    ("join", "Which country do the authors of the most crime books come from?",
     ("SELECT country FROM author JOIN book ON author.id = author_id WHERE genre = 'crime'"
      " GROUP BY country ORDER BY count(*) DESC")),
    ("join", "Which poetry book is out on loan now?",
     "SELECT title FROM book JOIN loan ON book.id = book_id WHERE genre = 'poetry' AND returned IS NULL"),
    ("join", "Who has 'Bread and Marble' now?",
     ("SELECT name FROM member JOIN loan ON member.id = member_id JOIN book ON book.id = book_id"
      " WHERE title = 'Bread and Marble' AND returned IS NULL")),
    ("join", "How many books has Emma Novak taken so far?",
     "SELECT count(*) FROM loan JOIN member ON member.id = member_id WHERE name = 'Emma Novak'"),
    ("loans", "Which book was taken most often?",
     "SELECT title FROM book JOIN loan ON book.id = book_id GROUP BY book.id ORDER BY count(*) DESC"),
    ("loans", "Which member has never taken a book?",
     "SELECT name FROM member WHERE id NOT IN (SELECT member_id FROM loan)"),
    ("loans", "From which town do the members come who took the most books?",
     "SELECT town FROM member JOIN loan ON member.id = member_id GROUP BY town ORDER BY count(*) DESC"),
    ("loans", "How many days did the longest loan take that has come back?",
     "SELECT CAST(max(julianday(returned) - julianday(taken)) AS INTEGER) FROM loan"),
    ("loans", "In which month of 2024 were the most books taken? Answer with its number.",
     "SELECT CAST(substr(taken, 6, 2) AS INTEGER) FROM loan GROUP BY 1 ORDER BY count(*) DESC"),
    ("loans", "How many copies of 'The Fresco Thief' are in the library now?",
     ("SELECT copies - (SELECT count(*) FROM loan WHERE book_id = book.id AND returned IS NULL)"
      " FROM book WHERE title = 'The Fresco Thief'")),
]  # fmt: skip
MOST_ROWS = 50
MOST_STEPS = 1_000_000


def opened() -> sqlite3.Connection:
    """The library's database, new, and not to be written to."""
    database = sqlite3.connect(":memory:")
    database.executescript(SCHEMA)
    for table, rows in (("author", AUTHORS), ("book", BOOKS), ("member", MEMBERS), ("loan", LOANS)):
        values = [(number, *row) for number, row in enumerate(rows, start=1)]
        database.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(values[0]))})", values)  # noqa: S608
    database.execute("PRAGMA query_only = ON")
    return database


@tool(idempotent=True)
async def tables() -> str:
    """The tables of the library's database, with their columns."""
    return SCHEMA.strip()


@tool(idempotent=True)
async def query(sql: str) -> str:
    """Ask the library's database one SQLite query. It can only be read.

    Args:
        sql: One SELECT statement.
    """
    with closing(opened()) as database:
        # A query without an end must not hold up the tools of others.
        database.set_progress_handler(lambda: True, MOST_STEPS)
        cursor = database.execute(sql)
        names = [column[0] for column in cursor.description or ()]
        rows = cursor.fetchmany(MOST_ROWS + 1)
    lines = [" | ".join(map(str, row)) for row in [names, *rows[:MOST_ROWS]]]
    return "\n".join([*lines, *(["(there are more rows)"] if len(rows) > MOST_ROWS else [])])


@scorer
async def looked_up(answered: Answered) -> bool:
    """Whether the database was asked at all, for a right answer may be a guess."""
    calls = (block for message in answered.transcript for block in message.content if block.kind == "tool_use")
    return any(call.name == query.name for call in calls)


def questions() -> Iterator[dict[str, object]]:
    """The questions, each with what its query gives."""
    with closing(opened()) as database:
        for number, (group, question, sql) in enumerate(QUESTIONS, start=1):
            target = str(database.execute(sql).fetchone()[0])
            yield {"id": f"{group}-{number}", "input": question, "target": target, "group": group}


@task
def library() -> Task:
    """Questions about a library, answered from its database."""
    return Task(
        dataset=questions,
        agent=react(),
        scorers=["match(at='any')", looked_up],
        tools=[tables, query],
        limits=SampleLimits(tokens=100_000),
        group_by=["group"],
        system_prompt="You answer questions about a public library from its database. Submit the bare answer.",
        max_steps=12,
    )
