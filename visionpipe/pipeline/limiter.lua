-- ConcurrencyLaw of limiter.py in Lua, line by line; a test holds the two equal. The figures in capitals stand
-- before it. `top` 0: not known; what is true is 1. Pauses are in milliseconds.

local function law_new(ceiling, start)
  return {
    ceiling = ceiling, level = math.max(1, math.min(start, ceiling)), epoch = 0, good = 0, top = 0,
    step = 0, next_step = 1, answers = 0, in_full_use = 0, decreased_in = 0, refused_in_a_row = 0,
    since_refusal = 0, came = 0, now = 0, worked = 0, began = 0, began_worked = 0, base = 0, base_mean = 0,
    settled = 0, trying = 0, patience = 1, in_vain = 0,
  }
end

local function law_begin_round(law)
  law.answers, law.in_full_use = 0, 0
  law.came, law.began, law.began_worked = 0, law.now, law.worked
end

local function law_move_to(law, level)
  law.level = level
  law.epoch = law.epoch + 1
  law_begin_round(law)
end

local function law_compare_with(law, mean)
  law.base, law.base_mean = law.level, mean
end

local function law_needed(law)
  if law.top ~= 0 then
    if law.level == law.top then return math.max(PROBE_AFTER, law.level) end
    return law.level
  end
  if law.settled == 0 then return math.max(ROUND, law.level) end
  local needed = math.max(PROBE_AFTER, 2 * law.level)
  if law.trying == 1 then return needed end
  return needed * REST
end

local function law_increase(law)
  law.good = law.level
  if law.level >= law.ceiling then
    law_begin_round(law)
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

local function law_try_neighbour(law, mean, upward)
  law.good = math.max(law.good, law.level)
  law_compare_with(law, mean)
  upward = upward or law.level == 1
  if upward and law.level == law.ceiling then
    law.in_vain = law.in_vain + 1
    law_begin_round(law)
    return false
  end
  local target
  if upward then
    target = math.min(law.ceiling, math.max(law.level + 1, math.floor(law.level * NEIGHBOUR)))
  else
    target = math.min(law.level - 1, math.ceil(law.level / NEIGHBOUR))
  end
  law.trying = 1
  law_move_to(law, target)
  return true
end

local function law_follow_settled(law, mean)
  if law.trying == 0 then
    local slower = law.level == law.base and mean > SLOWER * law.base_mean
    return law_try_neighbour(law, mean, not slower and law.in_vain < law.patience)
  end
  law.trying = 0
  local ratio = law.level / law.base
  local gain = ratio
  if mean > 0 then gain = ratio * law.base_mean / mean end
  local upward = ratio > 1
  if upward and gain >= 1 + (ratio - 1) * FREE then
    law.settled = 0
    law_compare_with(law, mean)
    return law_increase(law)
  end
  local enough = LOST_NOTHING
  if upward then enough = 1 + (ratio - 1) * UP_PAYS end
  if gain >= enough then
    law.patience, law.in_vain = 1, 0
    return law_try_neighbour(law, mean, upward)
  end
  if upward then
    law.in_vain = law.in_vain + 1
  else
    law.patience, law.in_vain = math.min(MOST_PATIENCE, 2 * law.patience), 0
  end
  law_move_to(law, law.base)
  return true
end

local function law_follow_answers(law)
  local length, worked = law.now - law.began, law.worked - law.began_worked
  if worked < FULL_USE * law.level * length then
    law_begin_round(law)
    return false
  end
  local mean = worked / law.came
  if law.settled == 1 then return law_follow_settled(law, mean) end
  if law.base == 0 then
    law_compare_with(law, mean)
    return law_increase(law)
  end
  local ratio = law.level / law.base
  local most = SLOWER
  if ratio > 1 then most = ratio / (1 + (ratio - 1) * PAYS) end
  if mean <= most * law.base_mean then
    if law.level > law.base then law_compare_with(law, mean) end
    return law_increase(law)
  end
  law.settled, law.patience, law.in_vain = 1, 1, 0
  if law.level == law.base then return law_try_neighbour(law, mean, false) end
  law_move_to(law, math.max(law.base, math.min(law.level, math.ceil(law.level * law.base_mean / mean))))
  return true
end

local function law_answer(law, epoch, busy, now, worked)
  law.refused_in_a_row = 0
  law.since_refusal = law.since_refusal + 1
  if law.top == 0 then
    law.now, law.worked = now, worked
    if busy > law.level then
      law_begin_round(law)
      return false
    end
    law.came = law.came + 1
    return law.came >= law_needed(law) and law_follow_answers(law)
  end
  if epoch ~= law.epoch then return false end
  law.answers = law.answers + 1
  if busy >= law.level then law.in_full_use = 1 end
  if law.answers < law_needed(law) then return false end
  if law.in_full_use == 0 then
    law_begin_round(law)
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
