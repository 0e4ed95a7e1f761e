import assert from "node:assert/strict";

/// Runs named cases, prints what failed and, last, how many passed, failed and were skipped.
async function runCases(name, cases) {
    const failed = [];
    for (const [fact, run] of Object.entries(cases)) {
        try {
            await run();
        } catch (error) {
            failed.push(`${fact}: ${error?.stack ?? error}`);
        }
    }
    if (failed.length > 0) console.error(failed.join("\n"));
    const passed = Object.keys(cases).length - failed.length;
    console.log(`${name}: ${passed} passed, ${failed.length} failed, 0 skipped`);
    process.exit(failed.length > 0 ? 1 : 0);
}

/// The error that a call fails with, which must be of this class.
async function refused(call, expected) {
    try {
        await call();
    } catch (error) {
        assert.ok(error instanceof expected, `${error?.constructor?.name}: ${error?.message}`);
        return error;
    }
    assert.fail(`nothing was refused; expected ${expected.name}`);
}

/// What a look finds, within ten seconds.
async function eventually(look) {
    for (const until = Date.now() + 10_000; Date.now() < until;) {
        const found = await look();
        if (found !== undefined) return found;
        await new Promise((resolve) => setTimeout(resolve, 50));
    }
    assert.fail("nothing was found in time");
}

const { BASE, KEY, MANAGEMENT } = process.env;
const HELLO = [{ role: "user", content: "one two three" }];
const WEATHER = {
    type: "function",
    function: {
        name: "weather",
        parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
    },
};
