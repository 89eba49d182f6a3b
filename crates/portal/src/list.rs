//! Lists as callers ask for them: search, filters with their counts, order and pages.

use std::{
    borrow::Cow,
    cmp::Ordering,
    collections::{BTreeMap, HashMap},
};

use serde_json::{Value, json};

const PAGE_SIZE: usize = 20;
const MAX_PAGE_SIZE: usize = 500;
/// Values of one filter whose counts are told.
const MAX_VALUES: usize = 500;

/// An entry of a list.
pub trait ListRow {
    /// Filters that the list knows.
    const FILTERS: &'static [&'static str];
    /// Fields that it can be ordered by, the usual one first.
    const SORTS: &'static [&'static str];

    /// Namespace and name.
    fn place(&self) -> (&str, &str);
    /// The values of the entry for a filter.
    fn values(&self, filter: &str) -> Vec<Cow<'_, str>>;
    /// Texts that a search looks at.
    fn texts(&self) -> Vec<Cow<'_, str>>;
    /// The text that the entry is ordered by.
    fn order(&self, field: &str) -> Cow<'_, str>;
}

/// A question for a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListQuery {
    words: Vec<String>,
    sort: String,
    descending: bool,
    pub page: usize,
    pub page_size: usize,
    filters: BTreeMap<String, Vec<String>>,
    /// `true` if only what is published is asked for.
    pub is_catalog: bool,
}

impl ListQuery {
    /// Reads a query string. Members that the list does not know are passed over.
    pub fn parse<R: ListRow>(text: &str) -> Result<Self, String> {
        let mut query = Self {
            words: Vec::new(),
            sort: R::SORTS.first().copied().unwrap_or_default().to_owned(),
            descending: false,
            page: 1,
            page_size: PAGE_SIZE,
            filters: BTreeMap::new(),
            is_catalog: false,
        };
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            match &*name {
                "search" => query.words = value.split_whitespace().map(str::to_lowercase).collect(),
                "sort" => query.sorted_by::<R>(&value)?,
                "page" => query.page = number(&name, &value, usize::MAX)?,
                "pageSize" => query.page_size = number(&name, &value, MAX_PAGE_SIZE)?,
                "catalog" => query.is_catalog = value == "true",
                filter if R::FILTERS.contains(&filter) && !value.is_empty() => {
                    query.filters.entry(name.into_owned()).or_default().push(value.into_owned());
                }
                _ => {}
            }
        }
        Ok(query)
    }

    fn sorted_by<R: ListRow>(&mut self, value: &str) -> Result<(), String> {
        let field = value.strip_prefix('-').unwrap_or(value);
        if !R::SORTS.contains(&field) {
            return Err(format!(
                "sort is to be one of {}, with a - in front to turn it around",
                R::SORTS.join(", ")
            ));
        }
        field.clone_into(&mut self.sort);
        self.descending = value.starts_with('-');
        Ok(())
    }

    fn matches<R: ListRow>(&self, row: &R) -> bool {
        if self.words.is_empty() {
            return true;
        }
        let texts: Vec<_> = row.texts().iter().map(|text| text.to_lowercase()).collect();
        self.words.iter().all(|word| texts.iter().any(|text| text.contains(word)))
    }
}

fn number(name: &str, value: &str, most: usize) -> Result<usize, String> {
    let number = value.parse().ok().filter(|number| (1..=most).contains(number));
    number.ok_or_else(|| match most {
        usize::MAX => format!("{name} is to be a number from 1"),
        most => format!("{name} is to be a number from 1 to {most}"),
    })
}

/// One page of a list.
pub struct ListPage<R> {
    pub rows: Vec<R>,
    pub total: usize,
    facets: BTreeMap<&'static str, Vec<(String, usize)>>,
}

/// The page that is asked for. A filter's counts are those of entries that pass all other filters.
pub fn select<R: ListRow>(rows: Vec<R>, query: &ListQuery) -> ListPage<R> {
    let mut counts: BTreeMap<&'static str, HashMap<String, usize>> = BTreeMap::new();
    let mut passed = Vec::new();
    for row in rows.into_iter().filter(|row| query.matches(row)) {
        let values: Vec<_> = R::FILTERS.iter().map(|filter| row.values(filter)).collect();
        let fails = |index: usize| {
            let wanted = query.filters.get(R::FILTERS[index]);
            wanted.is_some_and(|wanted| {
                !values[index].iter().any(|value| wanted.iter().any(|one| one == value))
            })
        };
        let failed: Vec<usize> = (0..values.len()).filter(|index| fails(*index)).collect();
        for (index, values) in values.iter().enumerate() {
            if failed.is_empty() || failed == [index] {
                let counted = counts.entry(R::FILTERS[index]).or_default();
                for value in values {
                    *counted.entry(value.clone().into_owned()).or_default() += 1;
                }
            }
        }
        if failed.is_empty() {
            drop(values);
            passed.push(row);
        }
    }
    let total = passed.len();
    ListPage { rows: cut(passed, query), total, facets: counts.into_iter().map(ordered).collect() }
}

fn cut<R: ListRow>(mut rows: Vec<R>, query: &ListQuery) -> Vec<R> {
    rows.sort_by_cached_key(|row| {
        let key = row.order(&query.sort).to_lowercase();
        let (namespace, name) = row.place();
        SortKey { key, descends: query.descending, place: (name.to_owned(), namespace.to_owned()) }
    });
    let first = (query.page - 1).saturating_mul(query.page_size);
    rows.into_iter().skip(first).take(query.page_size).collect()
}

/// A key in one order or the other; equal ones are in the order of their names.
#[derive(PartialEq, Eq)]
struct SortKey {
    key: String,
    descends: bool,
    place: (String, String),
}

impl Ord for SortKey {
    fn cmp(&self, other: &Self) -> Ordering {
        let keys = self.key.cmp(&other.key);
        let keys = if self.descends { keys.reverse() } else { keys };
        keys.then_with(|| self.place.cmp(&other.place))
    }
}

impl PartialOrd for SortKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

fn ordered((filter, counts): (&'static str, HashMap<String, usize>)) -> (&'static str, Vec<(String, usize)>) {
    let mut values: Vec<_> = counts.into_iter().collect();
    values.sort_unstable_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
    values.truncate(MAX_VALUES);
    (filter, values)
}

impl<R> ListPage<R> {
    /// The answer, with what the caller may do with each entry.
    pub fn answer(&self, query: &ListQuery, items: &[Value], can: &BTreeMap<String, Vec<&str>>) -> Value {
        let value = |(value, count): &(String, usize)| json!({"value": value, "count": count});
        let facet = |values: &Vec<(String, usize)>| values.iter().map(value).collect::<Vec<_>>();
        let facets: BTreeMap<_, _> =
            self.facets.iter().map(|(name, values)| (*name, facet(values))).collect();
        json!({
            "items": items, "total": self.total, "page": query.page, "pageSize": query.page_size,
            "facets": facets, "can": can,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone)]
    struct Fruit(&'static str, &'static str, &'static [&'static str]);

    impl ListRow for Fruit {
        const FILTERS: &'static [&'static str] = &["colour", "tag"];
        const SORTS: &'static [&'static str] = &["name", "colour"];

        fn place(&self) -> (&str, &str) {
            ("n", self.0)
        }

        fn values(&self, filter: &str) -> Vec<Cow<'_, str>> {
            match filter {
                "colour" => vec![self.1.into()],
                _ => self.2.iter().map(|tag| (*tag).into()).collect(),
            }
        }

        fn texts(&self) -> Vec<Cow<'_, str>> {
            vec![self.0.into(), self.1.into()]
        }

        fn order(&self, field: &str) -> Cow<'_, str> {
            if field == "name" { self.0.into() } else { self.1.into() }
        }
    }

    const FRUIT: [Fruit; 5] = [
        Fruit("Pear", "green", &["soft"]),
        Fruit("apple", "red", &["hard", "new"]),
        Fruit("Lime", "green", &["hard"]),
        Fruit("cherry", "red", &["soft", "new"]),
        Fruit("plum", "blue", &[]),
    ];

    fn names(query: &str) -> (Vec<&'static str>, usize) {
        let query = ListQuery::parse::<Fruit>(query).unwrap();
        let page = select(FRUIT.to_vec(), &query);
        (page.rows.iter().map(|row| row.0).collect(), page.total)
    }

    #[test]
    fn a_list_is_searched_filtered_ordered_and_cut() {
        let table: [(&str, &[&str], usize); 11] = [
            ("", &["apple", "cherry", "Lime", "Pear", "plum"], 5),
            ("sort=-name", &["plum", "Pear", "Lime", "cherry", "apple"], 5),
            ("sort=-colour", &["apple", "cherry", "Lime", "Pear", "plum"], 5),
            ("search=E+GREEN", &["Lime", "Pear"], 2),
            ("search=%20", &["apple", "cherry", "Lime", "Pear", "plum"], 5),
            ("colour=red", &["apple", "cherry"], 2),
            ("colour=red&colour=blue", &["apple", "cherry", "plum"], 3),
            ("colour=red&tag=hard", &["apple"], 1),
            ("page=2&pageSize=2", &["Lime", "Pear"], 5),
            ("page=9&pageSize=2", &[], 5),
            ("colour=&unknown=x", &["apple", "cherry", "Lime", "Pear", "plum"], 5),
        ];
        for (query, expected, total) in table {
            assert_eq!(names(query), (expected.to_vec(), total), "{query}");
        }
    }

    #[test]
    fn counts_of_a_filter_do_not_depend_on_itself() {
        let query = ListQuery::parse::<Fruit>("colour=red&tag=new").unwrap();
        let page = select(FRUIT.to_vec(), &query);
        let facets = &page.answer(&query, &[], &BTreeMap::new())["facets"];
        assert_eq!(facets["colour"], json!([{"value": "red", "count": 2}]));
        let expected = json!([{"value": "new", "count": 2}, {"value": "hard", "count": 1}, {"value": "soft", "count": 1}]);
        assert_eq!(facets["tag"], expected);
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_a_cure() {
        for query in ["sort=age", "page=0", "page=x", "pageSize=501", "pageSize=-1"] {
            assert!(ListQuery::parse::<Fruit>(query).is_err(), "{query}");
        }
        assert_eq!(ListQuery::parse::<Fruit>("pageSize=500").unwrap().page_size, 500);
    }
}
