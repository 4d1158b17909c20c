-- ConcurrencyLaw of limiter.py in Lua, line by line; a test holds the two equal. PROBE_AFTER, DECREASE,
-- FIRST_PAUSE_MS and LONGEST_PAUSE_MS stand before it. `top` 0: not known. Pauses are in milliseconds.

local function law_new(ceiling, start)
  return {
    ceiling = ceiling, level = math.max(1, math.min(start, ceiling)), epoch = 0, good = 0, top = 0,
    step = 0, next_step = 1, answers = 0, in_full_use = 0, decreased_in = 0, refused_in_a_row = 0,
    since_refusal = 0,
  }
end

local function law_move_to(law, level)
  law.level = level
  law.epoch = law.epoch + 1
  law.answers, law.in_full_use = 0, 0
end

local function law_increase(law)
  law.good = law.level
  if law.level >= law.ceiling then
    law.answers, law.in_full_use = 0, 0
    return false
  end
  local step
  if law.top == 0 then
    step = law.level
  elseif law.level < law.top then
    step = math.max(1, math.min(law.level, math.floor((law.top - law.level) / 2)))
  else
    step = law.next_step
    law.step, law.next_step = step, law.step + law.next_step
  end
  law_move_to(law, math.min(law.ceiling, law.level + step))
  return true
end

local function law_answer(law, epoch, busy)
  law.refused_in_a_row = 0
  law.since_refusal = law.since_refusal + 1
  if epoch ~= law.epoch then return false end
  law.answers = law.answers + 1
  if busy >= law.level then law.in_full_use = 1 end
  local needed = law.level
  if law.top ~= 0 and law.level == law.top then needed = math.max(PROBE_AFTER, law.level) end
  if law.answers < needed then return false end
  if law.in_full_use == 0 then
    law.answers = 0
    return false
  end
  return law_increase(law)
end

local function law_refusal(law, epoch)
  if epoch < law.decreased_in then return 0 end
  local lone = law.since_refusal >= math.floor(PROBE_AFTER / 2)
  local target
  if law.good > 0 and law.good < law.level then
    law.top = law.level - 1
    target = law.good
  else
    if law.good > 0 or law.top == 0 then
      if lone then law.top = law.level else law.top = math.max(1, law.level - 1) end
    end
    target = math.max(1, math.min(law.level - 1, math.floor(law.level * DECREASE)))
    law.good = 0
  end
  law.since_refusal = 0
  law.refused_in_a_row = law.refused_in_a_row + 1
  law_move_to(law, target)
  law.decreased_in = law.epoch
  law.step, law.next_step = 0, 1
  if law.refused_in_a_row < 2 then return 0 end
  return math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ^ math.min(law.refused_in_a_row - 2, 16))
end
