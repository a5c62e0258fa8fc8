--- YAML as Lua tables, by libyaml.  All scalars are strings; what "<<" names is merged into the
-- mapping.

local yaml = require "yaml"

local _M = {}

local function merge(mapping, other)
    for name, value in pairs(other) do
        if mapping[name] == nil then
            mapping[name] = value
        end
    end
end

local build -- takes the next thing from the parser

local function build_sequence(state)
    local list = {}
    while state.event.type ~= "SEQUENCE_END" do
        list[#list + 1] = build(state)
    end
    return list
end

local function build_mapping(state)
    local mapping, merged = {}, nil
    while state.event.type ~= "MAPPING_END" do
        local name = build(state)
        assert(mapping[name] == nil, "twice in one mapping: " .. name)
        if name == "<<" then
            merged = build(state)
        else
            mapping[name] = build(state)
        end
    end
    merge(mapping, merged or {})
    return mapping
end

local function advance(state)
    state.event = state.parse()
    assert(state.event, "the document has no end")
end

function build(state)
    local event = state.event
    advance(state)
    if event.type == "ALIAS" then
        return assert(state.anchors[event.anchor], "no such anchor: " .. event.anchor)
    elseif event.type == "SCALAR" then
        return event.value
    end
    local value = event.type == "SEQUENCE_START" and build_sequence(state)
        or event.type == "MAPPING_START" and build_mapping(state)
        or error("not expected: " .. event.type)
    advance(state)
    state.anchors[event.anchor or value] = value
    return value
end

--- Returns the first document of a text.  Raises what libyaml says against it.
function _M.parse(text)
    local state = { parse = yaml.parser(text), anchors = {} }
    repeat
        advance(state)
    until state.event.type == "DOCUMENT_START"
    advance(state)
    return build(state)
end

return _M
