-- A provider may be a row of the built-in catalogue with a few values of its own: adapter and base URL may then be empty,
-- and what it says itself goes before what its profile says.
ALTER TABLE providers ADD COLUMN profile text NOT NULL DEFAULT '';
