//! Takes the grant's condition away, in this test's store alone: a run without it must be found out.
//!
//! The condition compares what is charged, presumed and lent with the limit, in the statement and in the rules before it. A
//! trigger keeps these sums in a table beside and leaves zeros where the control plane looks, so every grant passes.

use anyhow::Result;
use sqlx::PgPool;

/// Where the sums are then.
pub const TABLE: &str = "unguarded";

/// The control plane writes what it read, here always zero, with a change added to it: so what it writes is the change.
const TRIGGER: &str = "
CREATE TABLE unguarded (
    kind smallint, owner text, period text, charged bigint, presumed bigint, lent bigint,
    PRIMARY KEY (kind, owner, period)
);
CREATE FUNCTION keep_aside() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO unguarded AS u VALUES (NEW.kind, NEW.owner, NEW.period, NEW.charged, NEW.presumed, NEW.lent)
    ON CONFLICT (kind, owner, period) DO UPDATE SET charged = u.charged + excluded.charged,
        presumed = u.presumed + excluded.presumed, lent = u.lent + excluded.lent;
    NEW.charged := 0;
    NEW.presumed := 0;
    NEW.lent := 0;
    RETURN NEW;
END $$;
CREATE TRIGGER keep_aside BEFORE INSERT OR UPDATE ON accounts FOR EACH ROW EXECUTE FUNCTION keep_aside();
";

/// Nothing may have been lent or charged before.
pub async fn take_away(store: &PgPool) -> Result<()> {
    sqlx::raw_sql(TRIGGER).execute(store).await?;
    Ok(())
}
