// Entry 8, the data model only: a booking keeps the tutor that it was made with.

export const ENTRIES = ['8'];

const BOOKED = ['I want help with python', 'yes', 'Sam Lee, sam@example.com', 'slee@mail.ccsf.edu', '-', 'no', '-', 'loops', '-'];

export default async function play(report, programs) {
  const service = await programs.service({ answers: true });
  await report.check('8', 'a finished booking names its tutor after another search', async () => {
    const id = 's-booking';
    await service.say(id, BOOKED[0]);
    const { tutor } = (await service.get(id, '/pending-match')).json;
    for (const line of BOOKED.slice(1)) await service.say(id, line);
    const booked = (await service.get(id, '/booking-info')).json;
    if (booked?.step !== 'complete') throw new Error(`the booking is at ${booked?.step}`);
    await service.say(id, 'now calculus');
    const other = (await service.get(id, '/pending-match')).json?.tutor?.name;
    if (!other || other === tutor.name) throw new Error(`the second search offers ${other}`);
    const booking = (await service.get(id, '/booking-info')).json;
    return [JSON.stringify(booking ?? null).includes(tutor.name), `booked with ${tutor.name}, then offered ${other}; the booking has ${Object.keys(booking ?? {}).join(', ')}`];
  });
  await report.check('8', 'nothing promises a mail that nobody sends', async () => {
    const id = 's-mail';
    for (const line of BOOKED) await service.say(id, line);
    const said = (await service.get(id, '/messages')).json.at(-1).content;
    return [/booked/i.test(said) && !/confirmation goes to|e-?mail/i.test(said), said];
  });
  await service.stop();
}
