-- Every fault of docs/failure.md, real: what calls return, how soon, and what comes after.

local failure = require "spec.support.failure"

for _, fault in ipairs(require "spec.support.faults") do
    failure.examine(fault)
end
