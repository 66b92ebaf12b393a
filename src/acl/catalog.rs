//! The commands as rules see them: names, categories, containers.

use hashbrown::HashMap;

use crate::spec::Category;

/// A command or subcommand.
#[derive(Debug, Clone)]
pub struct CatalogRow {
    /// Its name, with its container's: `client|kill`. Renaming a command doesn't change it.
    pub full_name: Box<str>,
    /// All its categories.
    pub categories: Category,
    /// The row of its container.
    pub parent: Option<usize>,
}

/// All commands, in the order of their identifiers.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    rows: Vec<CatalogRow>,
    by_name: HashMap<Box<[u8]>, usize>,
    subcommands: HashMap<usize, Vec<usize>>,
}

impl FromIterator<CatalogRow> for Catalog {
    fn from_iter<I: IntoIterator<Item = CatalogRow>>(rows: I) -> Self {
        let mut catalog = Self::default();
        for row in rows {
            let id = catalog.rows.len();
            catalog.by_name.insert(row.full_name.as_bytes().into(), id);
            if let Some(parent) = row.parent {
                catalog.subcommands.entry(parent).or_default().push(id);
            }
            catalog.rows.push(row);
        }
        catalog
    }
}

impl Catalog {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no command.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The command of that full name, in any case.
    pub fn find(&self, name: &[u8]) -> Option<usize> {
        self.by_name.get(name.to_ascii_lowercase().as_slice()).copied()
    }

    /// A command by its identifier.
    pub fn get(&self, id: usize) -> Option<&CatalogRow> {
        self.rows.get(id)
    }

    /// Every command, with its identifier.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &CatalogRow)> {
        self.rows.iter().enumerate()
    }

    /// The subcommands of a container.
    pub fn subcommands(&self, id: usize) -> &[usize] {
        self.subcommands.get(&id).map_or(&[], Vec::as_slice)
    }

    /// The category of that name, without its `@`, in any case.
    pub fn category(name: &[u8]) -> Option<Category> {
        let named = |(_, known): &&(Category, &str)| known.as_bytes().eq_ignore_ascii_case(name);
        Category::NAMES.iter().find(named).map(|(category, _)| *category)
    }
}
