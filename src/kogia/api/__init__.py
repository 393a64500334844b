"""The API's types and rules, pure: kinds, schema, defaults, validation, selectors, quantities, patches, apply, tables. No I/O."""
