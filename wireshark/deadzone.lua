-- deadzone.lua: turns what deadzone writes into packets' comments (s=3 dir=up n=75 verdict=drop by=rule:dead-zone …) and
-- into its events into fields that filters, columns and colouring rules can use:
--
--     deadzone.verdict == "drop" and deadzone.reason == "loss"
--     deadzone.delay > 0.5                 (seconds; deadzone.delay_ms for milliseconds)
--     deadzone.session == 3 and deadzone.dir == "down"
--     deadzone.event contains "blackout"
--
-- Times are seconds, as everywhere in Wireshark; deadzone(1) says what each word means.

local deadzone = Proto("deadzone", "deadzone")

local fields = {
    session = ProtoField.uint32("deadzone.session", "Session"),
    dir = ProtoField.string("deadzone.dir", "Direction"),
    n = ProtoField.uint32("deadzone.n", "Ordinal in its session and direction"),
    step = ProtoField.string("deadzone.step", "Step (arrived, sent, unsent)"),
    verdict = ProtoField.string("deadzone.verdict", "Verdict"),
    by = ProtoField.string("deadzone.by", "Decided by"),
    reason = ProtoField.string("deadzone.reason", "Reason"),
    delay = ProtoField.double("deadzone.delay", "Delay as planned, in seconds"),
    late = ProtoField.double("deadzone.late", "Lateness on top, in seconds"),
    delay_ms = ProtoField.double("deadzone.delay_ms", "Delay as planned, in milliseconds"),
    late_ms = ProtoField.double("deadzone.late_ms", "Lateness on top, in milliseconds"),
    hold = ProtoField.string("deadzone.hold", "Waits for"),
    did = ProtoField.string("deadzone.did", "Done to its bytes"),
    copies = ProtoField.uint32("deadzone.copies", "Copies made of it"),
    copy = ProtoField.uint32("deadzone.copy", "Copy number"),
    of = ProtoField.string("deadzone.of", "Copied by"),
    packed = ProtoField.string("deadzone.packed", "Ordinals packed into it"),
    dtls = ProtoField.string("deadzone.dtls", "First DTLS record (type/epoch/number)"),
    dev = ProtoField.string("deadzone.device", "Device section"),
    event = ProtoField.string("deadzone.event", "Event"),
}
local all = {}
for _, field in pairs(fields) do all[#all + 1] = field end
deadzone.fields = all

local numbers = {session = true, n = true, copies = true, copy = true}
local seconds = {delay = true, late = true}
local lists = {by = true, did = true}

local comment_of, syslog_of = Field.new("frame.comment"), Field.new("syslog.msg")

-- One key=value: into the tree, a list as several values.
local function add(tree, key, value)
    if key == "s" then key = "session" end
    local field = fields[key]
    if not field then return end -- of a later version: passed over
    if numbers[key] then
        local number = tonumber(value)
        if number and number >= 0 and number < 4294967296 then tree:add(field, number) end
    elseif seconds[key] then
        local milliseconds = tonumber((value:gsub("ms$", "")))
        if milliseconds then
            tree:add(field, milliseconds / 1000)
            tree:add(fields[key .. "_ms"], milliseconds)
        end
    elseif lists[key] then
        for one in value:gmatch("[^,]+") do tree:add(field, one) end
    else
        tree:add(field, value)
    end
end

local function take_comment(text, root)
    local tree = root:add(deadzone, "deadzone: " .. text)
    local step = "arrived"
    for word in text:gmatch("%S+") do
        local key, value = word:match("^([%a_]+)=(.*)$")
        if key then
            add(tree, key, value)
        elseif word == "sent" or word == "unsent" then
            step = word
        end
    end
    tree:add(fields.step, step)
end

local function take_event(text, root)
    local what = text:match("deadzone: (.*)$")
    if not what then return end
    local tree = root:add(deadzone, "deadzone: " .. what)
    local session, rest = what:match("^s=(%d+) (.*)$")
    if session then add(tree, "s", session) end
    tree:add(fields.event, rest or what)
    for key, value in (rest or what):gmatch("([%a_]+)=(%S+)") do
        if key == "by" then add(tree, key, value) end
    end
end

function deadzone.dissector(_, _, root)
    for _, comment in ipairs({comment_of()}) do
        local text = tostring(comment.value)
        if text:match("^s=%d+ dir=") then take_comment(text, root) end
    end
    for _, line in ipairs({syslog_of()}) do take_event(tostring(line.value), root) end
end

register_postdissector(deadzone)
